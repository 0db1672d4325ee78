"""What runners do with a run: its order, its failures, its deadline."""

import asyncio
import json
from datetime import timedelta

import forecasters
import httpx
import pytest
from running import ORIGIN, SELL, computed, ended, events, forecasts, requested, runner, sold

from crossdock_chassis import ChildBroken, Service
from crossdock_chassis.testing import Deliver, Fresh, Violations, published
from forecast_service.forecasts.checks import NOT_STORED
from forecast_service.places import series_id
from forecast_service.runs import checks, compute, model
from forecast_service.service import Settings, build


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """With small chunks."""
    return await fresh(build, Settings, chunk_series=4)


async def test_run_forecasts_and_publishes_every_series(
    service: Service, client: httpx.AsyncClient, deliver: Deliver, violations: Violations
) -> None:
    items = {f"item-{n}": None for n in range(10)}
    await sold(service, deliver, items)
    asked = await requested(client)
    assert (asked["state"], asked["series"], asked["done"], asked["left"]) == ("running", 10, 0, 10)
    async with runner(service), runner(service):
        done = await ended(client, asked["id"])
    assert (done["state"], done["done"], done["left"], done["failed"], done["cheap"]) == ("done", 10, 0, 0, 0)
    assert done["rate"] > 0 and done["estimated_end"] is None and done["ended_at"] > done["requested_at"]
    assert {row["model"] for row in await forecasts(service, asked["id"])} == {"full"}
    assert await events(service) == dict.fromkeys(items, 1)
    shown = (await client.get("/v1/forecasts", params={"item_id": "item-0"})).json()
    assert (shown["run_id"], shown["origin"], len(shown["days"])) == (asked["id"], ORIGIN.isoformat(), 28)
    assert (await violations(service, "UPDATE runs SET open = 1")).keys() == {checks.COUNTED.title}
    lost = await violations(service, "DELETE FROM forecasts")
    assert lost.keys() == {checks.FORECAST.title, NOT_STORED.title}


async def test_run_of_locations_publishes_their_series(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"a": None, "b": None})
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, ["a", "a"], ["north", ""], ["", "US"], [ORIGIN - timedelta(days=1)] * 2, [3, 4])
    asked = await requested(client, levels=["region", "location", "item"])
    assert (asked["series"], asked["levels"]) == (4, ["item", "location", "region"])
    other = await requested(client, levels=["location"])
    assert (other["id"] != asked["id"], other["series"]) == (True, 1)
    one = await requested(client, series=[str(series_id("a", "", "US"))])
    assert (one["series"], one["levels"]) == (1, ["item", "location", "region"])
    async with runner(service):
        for run in (asked, other, one):
            await ended(client, run["id"])
    places = [
        (json.loads(row["value"]).get(key)) for row in await published(service) for key in ("location_id", "region")
    ]
    assert sorted(each for each in places if each) == ["US", "north"]
    for place in ({"location_id": "north"}, {"region": "US"}):
        shown = (await client.get("/v1/forecasts", params={"item_id": "a", **place})).json()
        assert {name: shown[name] for name in place} == place


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("dies", "signal 9 ended it"),
        ("hangs", "it took longer than 0.3 s and was killed"),
        ("fails", "ValueError: singular matrix"),
        ("nan", "its forecast is not made of usable numbers"),
        ("forgets", "its forecast is not made of usable numbers"),
    ],
)
async def test_faulty_series_alone_gets_the_fallback(
    service: Service, client: httpx.AsyncClient, deliver: Deliver, fault: str, why: str
) -> None:
    items = {"a": None, "b": fault, "c": None, "d": None, "e": None}
    await sold(service, deliver, items)
    done = await computed(service, client, await requested(client), seconds=0.3 if fault == "hangs" else 30)
    assert (done["state"], done["done"], done["failed"]) == ("done", 5, 1)
    assert done["failures"] == [{"reason": why, "series": 1}]
    made = {row["item_id"]: (row["model"], row["why"]) for row in await forecasts(service, done["id"])}
    assert made == dict.fromkeys("acde", ("full", None)) | {"b": ("fallback", why)}
    assert await events(service) == dict.fromkeys(items, 1)


async def test_run_whose_series_all_fail_still_ends(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, dict.fromkeys(("a", "b", "c", "d", "e"), "fails"))
    done = await computed(service, client, await requested(client))
    assert (done["state"], done["done"], done["left"], done["failed"]) == ("done", 5, 0, 5)
    assert {row["model"] for row in await forecasts(service, done["id"])} == {"fallback"}


async def test_forecaster_that_cannot_start_ends_the_runner(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    """Its series are not at fault: no one gets a fallback, and a supervisor starts the runner again."""
    await sold(service, deliver, {"a": None})
    run = await requested(client)
    async with runner(service, forecasters.broken) as task:
        with pytest.raises(ChildBroken, match="prophet"):
            await asyncio.wait_for(asyncio.shield(task), 60)
    assert (await computed(service, client, run))["failed"] == 0


async def test_chunk_that_ends_every_runner_gets_the_fallback(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"a": None})
    run = await requested(client)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE run_chunks SET attempts = $1", model.MAX_ATTEMPTS)
    done = await computed(service, client, run)
    assert done["failures"][0]["reason"] == f"{model.MAX_ATTEMPTS} runners ended while they computed its chunk"
    assert [row["model"] for row in await forecasts(service, run["id"])] == ["fallback"]


async def test_before_a_deadline_all_series_get_a_cheap_model_first(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    """The full choice hangs here, so that the deadline comes."""
    items = {f"item-{n}": None for n in range(6)}
    await sold(service, deliver, items)
    asked = await requested(client, deadline_seconds=3)
    done = await computed(service, client, asked, forecasters.slow)
    assert (done["state"], done["done"], done["cheap"], done["failed"]) == ("done", 6, 6, 0)
    assert {row["model"] for row in await forecasts(service, asked["id"])} == {"cheap"}
    assert await events(service) == dict.fromkeys(items, 1)
    assert done["ended_at"] >= asked["deadline_at"]


async def test_with_time_left_the_full_choice_replaces_cheap_models(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"a": None, "b": "hangs", "c": None, "d": None, "e": None})
    async with service.database.unit() as unit:  # only its full choice would hang: what fails keeps the cheap model
        await unit.sql.execute("UPDATE demand_items SET category = NULL")
    asked = await requested(client, deadline_seconds=3600)
    done = await computed(service, client, asked)
    assert (done["state"], done["done"], done["cheap"]) == ("done", 5, 0)
    assert {row["model"] for row in await forecasts(service, asked["id"])} == {"full"}


async def test_most_wanted_items_come_first(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> None:
    await sold(service, deliver, {f"item-{n}": None for n in range(6)})
    await requested(client)
    async with service.database.unit() as unit:
        chunks = await unit.sql.fetch("SELECT series FROM run_chunks ORDER BY number")
    assert [*chunks[0]["series"], *chunks[1]["series"]] == [series_id(f"item-{n}") for n in range(6)]


async def test_cancelled_run_stops_its_child_and_goes_on_later(
    service: Service, client: httpx.AsyncClient, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "EXTEND_SECONDS", 0.05)
    items = {f"item-{n}": None for n in range(6)}
    await sold(service, deliver, items)
    run = await requested(client)
    async with runner(service, forecasters.slow):
        async with asyncio.timeout(60):
            while not await leased(service):
                await asyncio.sleep(0.01)
        assert (await client.post(f"/v1/runs/{run['id']}:cancel")).json()["state"] == "cancelled"
        async with asyncio.timeout(60):
            while await leased(service):
                await asyncio.sleep(0.01)
    assert not await events(service)
    assert (await client.post(f"/v1/runs/{run['id']}:resume")).json()["state"] == "running"
    assert (await computed(service, client, run))["done"] == 6
    assert await events(service) == dict.fromkeys(items, 1)


async def leased(service: Service) -> int:
    async with service.database.unit() as unit:
        count: int = await unit.sql.fetchval("SELECT count(*) FROM run_chunks WHERE leased_by IS NOT NULL")
    return count
