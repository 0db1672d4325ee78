"""Planned drivers: what planners state, and what each origin knows of it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import forecasters
import httpx
import pytest
from running import ORIGIN, computed, forecasts, requested, sold
from stories import at, placed, registered

from crossdock_chassis import Service, columns, new_id
from crossdock_chassis.testing import OPS, Clients, Deliver, run_queued, unlisted
from forecast_service.demand.history import find
from forecast_service.drivers.model import MOST_NAMES, first_origin
from forecast_service.drivers.store import plans
from forecast_service.fitting.series import Plan
from forecast_service.places import series_id

FIRST, LAST = ORIGIN + timedelta(days=2), ORIGIN + timedelta(days=3)
BEFORE = "2024-01-01T00:00:00Z"
PROMOTED = {"name": "promotion", "first_day": str(FIRST), "last_day": str(LAST), "value": 1, "known_from": BEFORE}


SELL_WITH_PROMOTIONS = """
    INSERT INTO imported_demand (item_id, location_id, region, day, quantity, promotion)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::bigint[], $6::boolean[])
"""


async def planned(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await client.post("/v1/drivers", json=PROMOTED | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def seen(service: Service, item: str, origin: date = ORIGIN, at: datetime | None = None) -> Sequence[Plan]:
    """Return the plans of an item that a run knows, which is requested at a time."""
    async with service.database.unit() as unit:
        await find(unit.sql, until=origin)
        found = await plans(
            unit.sql, [series_id(item)], origin, origin + timedelta(days=27), at or datetime.now(UTC), []
        )
    return found.get(str(series_id(item)), [])


async def imported(service: Service, client: httpx.AsyncClient, kind: str, text: str) -> dict[str, Any]:
    answer = await client.post(f"/v1/{kind}:import", content=text, headers={"content-type": "text/csv"})
    assert answer.status_code == 202, answer.text
    await run_queued(service)
    found: dict[str, Any] = (await client.get(f"/v1/imports/{answer.json()['id']}")).json()
    return found


async def test_plans_are_made_listed_and_withdrawn(
    service: Service, client: httpx.AsyncClient, clients: Clients
) -> None:
    operator = clients(service, None, OPS, subject="ann")
    made = await operator.post("/v1/drivers", json=PROMOTED | {"item_id": "A"}, headers={"Idempotency-Key": "1"})
    again = await operator.post("/v1/drivers", json=PROMOTED | {"item_id": "A"}, headers={"Idempotency-Key": "1"})
    assert (made.status_code, again.json()) == (201, made.json())
    id = made.json()["id"]
    assert made.headers["location"] == f"/v1/drivers/{id}"
    assert made.json() == {
        **{"id": id, "item_id": "A", "category": None, "location_id": None, "elsewhere": "zero"},
        **{"planned_by": "ann", "withdrawn_at": None, **PROMOTED},
    }
    other = await planned(client, name="price", value=2.5, category="dairy", last_day=None)
    assert (other["elsewhere"], other["last_day"]) == ("unknown", None)

    async def ids(**query: str | int) -> list[str]:
        found = (await client.get("/v1/drivers", params=query)).json()
        return [each["id"] for each in found["items"]]

    assert await ids() == [other["id"], id]
    assert await ids(name="price") == await ids(category="dairy") == [other["id"]]
    assert await ids(day=str(LAST), item_id="A") == [id]
    assert await ids(day=str(ORIGIN)) == []
    first = (await client.get("/v1/drivers", params={"limit": 1})).json()
    assert await ids(limit=1, cursor=first["next"]) == [id]
    for _ in range(2):
        withdrawn = await operator.delete(f"/v1/drivers/{id}")
        assert (withdrawn.status_code, withdrawn.json()["withdrawn_at"] is None) == (200, False)
    assert await ids() == [other["id"]]
    assert (await client.get(f"/v1/drivers/{id}")).json() == withdrawn.json()
    assert (await operator.delete(f"/v1/drivers/{series_id('A')}")).status_code == 404
    assert unlisted(service) == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "Promotion"}, "/name"),
        ({"name": "x" * 65}, "/name"),
        ({"name": "holiday"}, "/name"),
        ({"value": "1"}, "/value"),
        ({"value": 1e300}, "/value"),
        ({"name": "price", "value": 0}, "/value"),
        ({"item_id": "A", "category": "dairy"}, "/category"),
        ({"last_day": str(FIRST - timedelta(days=1))}, "/last_day"),
        ({"first_day": "1989-12-31"}, "/first_day"),
        ({"last_day": "3000-01-01"}, "/last_day"),
        ({"known_from": "yesterday"}, "/known_from"),
        ({"elsewhere": "one"}, "/elsewhere"),
        ({"until": "x"}, "/until"),
    ],
)
async def test_a_wrong_plan_is_refused_at_its_place(
    service: Service, client: httpx.AsyncClient, changes: dict[str, object], pointer: str
) -> None:
    answer = await client.post("/v1/drivers", json=PROMOTED | changes)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
    assert (await client.get("/v1/drivers")).json()["items"] == []


async def test_more_drivers_than_regressions_can_use_are_refused(service: Service, client: httpx.AsyncClient) -> None:
    rows = "".join(f"d{number},2024-03-01,1\n" for number in range(MOST_NAMES))
    assert (await imported(service, client, "drivers", f"name,first_day,value\n{rows}"))["created"] == MOST_NAMES
    answer = await client.post("/v1/drivers", json=PROMOTED)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, "too-many-drivers"), answer.text
    refused = await imported(service, client, "drivers", "name,first_day,value\nd1,2024-04-01,1\nmore,2024-03-01,1\n")
    assert (refused["state"], refused["errors"][0]["row"]) == ("refused", 3)


async def test_drivers_are_imported_once(service: Service, client: httpx.AsyncClient) -> None:
    text = (
        "name,item_id,first_day,last_day,value,known_from\n"
        "promotion,A,2024-03-11,2024-03-12,1,2024-01-01\n"
        "price,A,2024-03-11,,2.49,2024-01-01T12:00:00Z\n"
    )
    assert (await imported(service, client, "drivers", text))["created"] == 2
    assert (await imported(service, client, "drivers", text + "\n"))["unchanged"] == 2
    changed = await imported(service, client, "drivers", text.replace("2.49", "1.99"))
    assert (changed["created"], changed["unchanged"]) == (1, 1)
    wrong = "name,first_day,last_day,value,known_from\nprice,2024-03-11,2024-03-10,nan,today\n"
    refused = await imported(service, client, "drivers", wrong)
    assert {each["column"] for each in refused["errors"]} >= {"value", "known_from"}


async def test_the_nearest_and_newest_plan_comes_last(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": "dairy", "B": "bread"})
    for value, scope in ((4, {"item_id": "A"}), (3, {"item_id": "A"}), (2, {"category": "dairy"}), (1, {})):
        await planned(client, value=value, **scope)
    await planned(client, value=9, item_id="A", location_id="WEST")
    assert [each.value for each in await seen(service, "A")] == [1, 2, 4, 3]
    assert [each.value for each in await seen(service, "B")] == [1]


async def test_an_origin_knows_what_was_planned_then(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None})
    at = datetime(2024, 2, 1, 10, tzinfo=UTC)
    made = await planned(client, first_day="2024-02-03", known_from=at.isoformat())
    (plan,) = await seen(service, "A")
    assert (plan.known, plan.ended) == (date(2024, 2, 2).toordinal(), None)
    assert (
        len(await seen(service, "A", date(2024, 2, 1))) == 1
    )  # the origin of a run knows what became known on its day
    assert await seen(service, "A", date(2024, 1, 30)) == []
    assert await seen(service, "A", at=datetime.now(UTC) - timedelta(hours=1)) == []  # it was not stored yet
    await planned(client, known_from=None)
    assert len(await seen(service, "A")) == 1  # a run of the past does not know what is planned today
    await client.delete(f"/v1/drivers/{made['id']}")
    (plan,) = await seen(service, "A")
    assert plan.ended is not None and plan.ended > ORIGIN.toordinal()
    assert first_origin(datetime(2024, 2, 1, tzinfo=UTC)) == date(2024, 2, 1).toordinal()


IMPORTED = """item_id,day,quantity,price,promotion
A,2024-03-01,3,2.5,false
A,2024-03-02,0,2.5,true
A,2024-03-03,9,2,true
A,2024-03-04,3,2.5,
GAPS,2024-03-01,3,2.5,true
GAPS,2024-03-04,3,3.5,true
"""


async def test_prices_are_carried_forward_and_promotions_planned(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await deliver(service, registered("A"), registered("GAPS"))
    await imported(service, client, "demand", IMPORTED)
    march = date(2024, 3, 1).toordinal() - 1

    def price(day: int, value: float) -> Plan:
        """Return the price that is known from the day after its sale on."""
        return Plan("price", march + day, None, value, march + day, None, "unknown")

    prices = [price(2, 2.5), price(4, 2.0), price(5, 2.5)]
    assert await seen(service, "A") == [*prices, Plan("promotion", march + 2, march + 3, 1.0)]
    # without rows for days without sales, a promotion would give away that something was sold
    assert await seen(service, "GAPS") == [price(2, 2.5), price(5, 3.5)]


async def test_prices_of_orders_are_carried_forward(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await deliver(service, registered("A"))
    await imported(service, client, "demand", "item_id,day,quantity,price\nA,2024-03-01,3,2.5\n")
    noon = datetime(2024, 3, 4, 12, tzinfo=UTC)
    lines = ((2, "3.00", "EUR"), (4, "9.00", "EUR"), (1, "7.77", "USD"), (5, "0.00", "EUR"))
    for quantity, amount, currency in lines:
        order = placed(new_id(), {"A": quantity})
        line = order.lines[0].model_copy(update={"amount": Decimal(amount)})
        event = order.model_copy(update={"lines": (line,), "currency": currency})
        await deliver(service, at(noon + timedelta(days=currency == "USD"), event))
    march = date(2024, 3, 1).toordinal() - 1
    assert await seen(service, "A") == [
        Plan("price", march + day, None, value, march + day, None, "unknown") for day, value in ((2, 2.5), (5, 2.0))
    ]


async def test_runs_forecast_with_planned_promotions(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None, "B": None})
    await planned(client, item_id="A", value=0.5)
    await planned(client, item_id="B", value=0.5, known_from=None)
    run = await computed(service, client, await requested(client, horizon=5), forecasters.driven)
    assert [(each["item_id"], each["mean"]) for each in await forecasts(service, run["id"])] == [
        ("A", [0, 0, 0.5, 0.5, 0]),
        ("B", [0] * 5),
    ]


async def test_a_resumed_run_has_the_drivers_of_its_request(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"A": None})
    await planned(client, item_id="A", value=0.5)
    run = await requested(client, horizon=5)
    assert (await client.post(f"/v1/runs/{run['id']}:cancel")).status_code == 200
    await planned(client, item_id="A", value=0.9)
    closed = {"name": "stocktaking", "kind": "closed"}
    assert (await client.put(f"/v1/calendar/days/{FIRST}", json=closed)).status_code == 200
    assert (await client.post(f"/v1/runs/{run['id']}:resume")).status_code == 200
    await computed(service, client, run, forecasters.driven)
    assert [each["mean"] for each in await forecasts(service, run["id"])] == [[0, 0, 0.5, 0.5, 0]]
    again = await computed(service, client, await requested(client, horizon=5), forecasters.driven)
    assert [each["mean"] for each in await forecasts(service, again["id"])] == [[0, 0, 0.0, 0.9, 0]]


async def test_drivers_of_many_days_are_read_without_statistics(service: Service, deliver: Deliver) -> None:
    """A join of the imported days with themselves took longer than a transaction may."""
    items = [f"I{number}" for number in range(100)]
    await deliver(service, *(registered(item) for item in items))
    days = [ORIGIN - timedelta(days=number) for number in range(1, 201)]
    rows = [(item, "", "", day, number % 3, number % 50 == 0) for item in items for number, day in enumerate(days)]
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL_WITH_PROMOTIONS, *columns(rows))
        await find(unit.sql, until=ORIGIN)
        async with asyncio.timeout(5):
            ids = [series_id(item) for item in items]
            found = await plans(unit.sql, ids, ORIGIN, ORIGIN, datetime.now(UTC), [])
    assert {len(each) for each in found.values()} == {4}
