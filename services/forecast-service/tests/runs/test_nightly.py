"""One run a night, once a day is whole and if demand has moved."""

from datetime import UTC, datetime, timedelta

import httpx
from running import SELL, computed, sold

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver
from forecast_service.places import Zones
from forecast_service.runs.nightly import Nightly
from forecast_service.runs.request import Request

ZONES = Zones("America/Los_Angeles")


async def night(service: Service, at: datetime) -> bool:
    """Look whether a run is due when all events up to `at` are counted. Return whether one was requested."""
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO settled (at) VALUES ($1) ON CONFLICT (one) DO UPDATE SET at = $1", at)
        return await Nightly(Request(ZONES, 50)).request_nightly_run(unit) is not None


async def test_run_is_requested_after_midnight_of_the_last_zone(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    midnight = datetime(2024, 3, 12, 7, tzinfo=UTC)  # there
    assert not await night(service, midnight)  # nothing was ever sold
    await sold(service, deliver, {"A": None})
    assert not await night(service, midnight - timedelta(days=1, hours=24 * 60))  # before the first sale
    assert await night(service, midnight + timedelta(minutes=5))
    assert not await night(service, midnight + timedelta(minutes=6))
    (run,) = (await client.get("/v1/runs")).json()["items"]
    assert (run["origin"], run["requested_by"]) == ("2024-03-12", "nightly")
    await computed(service, client, run)
    assert not await night(service, midnight + timedelta(hours=23))


async def test_new_service_waits_for_its_first_night(service: Service, deliver: Deliver) -> None:
    await sold(service, deliver, {"A": None})
    evening = datetime(2024, 3, 13, 1, tzinfo=UTC)  # six in the evening there
    assert not await night(service, evening)
    assert await night(service, evening + timedelta(hours=7))


async def test_night_without_new_demand_needs_no_run(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None})
    first = datetime(2024, 3, 13, 12, tzinfo=UTC)  # five in the morning there
    assert await night(service, first)
    assert not await night(service, first + timedelta(days=1))
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, ["A"], [""], [""], [first.date() + timedelta(days=1)], [3])
    assert await night(service, first + timedelta(days=2))


async def test_changed_plans_need_a_run_without_new_demand(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None})
    first = datetime(2024, 3, 13, 12, tzinfo=UTC)
    assert await night(service, first)
    promotion = {"name": "promotion", "item_id": "A", "first_day": "2024-03-20", "last_day": "2024-03-22", "value": 1}
    planned = await client.post("/v1/drivers", json=promotion)
    assert planned.status_code == 201, planned.text
    assert await night(service, first + timedelta(days=1))
    assert not await night(service, first + timedelta(days=2))
    closed = await client.put("/v1/calendar/days/2024-03-21", json={"name": "moving", "kind": "closed"})
    assert closed.status_code == 200, closed.text
    assert await night(service, first + timedelta(days=3))
    assert not await night(service, first + timedelta(days=4))
    withdrawn = await client.delete(planned.headers["location"])
    assert withdrawn.status_code < 300, withdrawn.text
    assert await night(service, first + timedelta(days=5))


async def test_changed_introductions_need_a_run_without_new_demand(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    """Also those that are taken back."""
    await sold(service, deliver, {"A": None, "NEW": None})
    first = datetime(2024, 3, 13, 12, tzinfo=UTC)
    assert await night(service, first)
    assert (await client.put("/v1/introductions/NEW", json={"successor_of": "A"})).status_code == 200
    assert await night(service, first + timedelta(days=1))
    assert not await night(service, first + timedelta(days=2))
    assert (await client.delete("/v1/introductions/NEW")).status_code == 204
    assert await night(service, first + timedelta(days=3))
    assert not await night(service, first + timedelta(days=4))
