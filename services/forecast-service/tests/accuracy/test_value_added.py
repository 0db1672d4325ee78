"""What models and planners add, beside seasonal naive."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import httpx
import pytest
from stories import at, imported, placed, registered

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Deliver
from forecast_service.demand.history import find
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts.publish import publish

ORIGIN = date(2026, 3, 11)
PRICES = {"A": "2.50", "B": "", "C": "4"}
CATEGORIES = {"A": "beer", "B": "beer", "C": "wine"}


@pytest.fixture
async def service(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> Service:
    """Return a service with a past week: 10 a day, forecast as 12, overridden to 11 for A and to 14 for C."""
    await deliver(service, *(registered(item, category) for item, category in CATEGORIES.items()))
    rows = [
        f"{item},{ORIGIN + timedelta(days=n)},{10 if n >= 0 else 5},{PRICES[item]}"
        for item in "ABC"
        for n in range(-7, 7)
    ]
    await imported(service, client, "item_id,day,quantity,price\n" + "\n".join(rows))
    async with service.database.unit() as unit:
        series = [id for id, _ in await find(unit.sql, until=ORIGIN - timedelta(days=1))]
        await unit.sql.execute("INSERT INTO settled (at) VALUES (now())")
    await forecast(service, series, 6.0)
    for item, value in (("A", 77), ("C", 98)):
        body = {"level": "item", "item_id": item, "kind": "absolute", "value": value, "why": "x"}
        days = {"first_day": str(ORIGIN), "last_day": str(ORIGIN + timedelta(days=6))}
        assert (await client.post("/v1/overrides", json=body | days)).status_code == 201
    await forecast(service, series, 12.0)
    return service


async def forecast(service: Service, series: list[Any], mean: float) -> None:
    rows = [[mean] * 7 for _ in QUANTILES]
    outcomes = [Outcome(str(id), "theta", "smooth", Fan([mean] * 7, rows, rows)) for id in series]
    async with service.database.unit() as unit:
        await publish(unit, new_id(), ORIGIN, outcomes)


async def asked(client: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    days = {"since": str(ORIGIN), "until": str(ORIGIN + timedelta(days=6))}
    answer = await client.get("/v1/value-added", params=days | query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_value_added_is_shown_in_units_and_money(service: Service, client: httpx.AsyncClient) -> None:
    found = await asked(client, by="item")
    # naive is 5 below 10, the model 2 above; a planner came nearer with 11, and another went away to 14
    total = found["total"]
    assert (total["days"], total["overridden"], total["actual"], total["without_price"]) == (21, 14, 210.0, 1)
    expected = {"naive": 105.0, "model": 42.0, "published": 49.0, "model_added": 63.0, "planner_added": -7.0}
    assert total["units"] == pytest.approx(expected)
    assert total["money"]["planner_added"] == pytest.approx(7 * 2.5 - 14 * 4)
    by_item = {each["item_id"]: each for each in found["groups"]}
    assert by_item["A"]["units"]["planner_added"] == pytest.approx(7)
    assert by_item["A"]["money"]["model_added"] == pytest.approx(21 * 2.5)
    assert (by_item["B"]["money"], by_item["B"]["units"]["planner_added"]) == (None, 0.0)
    assert [each["item_id"] for each in found["groups"]] == ["A", "B", "C"]


async def test_value_added_is_grouped_and_filtered(service: Service, client: httpx.AsyncClient) -> None:
    found = await asked(client, by="category")
    assert [(each["category"], each["days"]) for each in found["groups"]] == [("beer", 14), ("wine", 7)]
    assert (await asked(client, category="wine"))["total"]["units"]["published"] == pytest.approx(28)
    assert (await asked(client, item_id="A"))["total"]["units"]["published"] == pytest.approx(7)
    assert (await asked(client, by="item", limit="1"))["groups"][0]["item_id"] == "A"
    nothing = await asked(client, item_id="unknown", by="item")
    assert (nothing["total"]["days"], nothing["total"]["money"], nothing["groups"]) == (0, None, [])


async def test_override_after_the_lag_does_not_count(service: Service, client: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "UPDATE forecasts SET made_at = $1::date + (made_at - (SELECT max(made_at) FROM forecasts))", ORIGIN
        )
        await unit.sql.execute("UPDATE adjusted_forecasts SET made_at = $1::date + interval '3 days 1 hour'", ORIGIN)
    found = await asked(client, item_id="A")
    assert found["total"]["overridden"] == 3  # a day ahead of the 15th, 16th and 17th
    assert (await asked(client, item_id="A", lag="3"))["total"]["overridden"] == 1


@pytest.mark.parametrize("query", [{"by": "shop"}, {"lag": "0"}, {"since": "2020-01-01"}, {"limit": "0"}])
async def test_impossible_question_is_refused(
    service: Service, client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    answer = await client.get("/v1/value-added", params={"until": str(ORIGIN)} | query)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, *query)


async def test_days_without_stock_are_left_out(service: Service, client: httpx.AsyncClient) -> None:
    days = "".join(f"A,{ORIGIN + timedelta(days=n)},10,2.50,false\n" for n in (0, 1))
    await imported(service, client, f"item_id,day,quantity,price,in_stock\n{days}")
    total = (await asked(client, item_id="A"))["total"]
    assert (total["days"], total["units"]["published"]) == (5, pytest.approx(5))


async def test_money_is_at_the_last_price_of_orders_too(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    """Orders pay 0.25 for B, which has no imported price, and 0.50 for C, whose imported price is older."""
    later = datetime.combine(ORIGIN + timedelta(days=9), time(12), UTC)
    await deliver(service, at(later, placed(new_id(), {"B": 4})), at(later, placed(new_id(), {"C": 2})))
    found = await asked(client, by="item")
    by_item = {each["item_id"]: each for each in found["groups"]}
    assert (found["currency"], found["total"]["without_price"]) == ("EUR", 0)
    assert by_item["A"]["money"]["naive"] == pytest.approx(by_item["A"]["units"]["naive"] * 2.5)
    assert by_item["B"]["money"]["naive"] == pytest.approx(by_item["B"]["units"]["naive"] * 0.25)
    assert by_item["C"]["money"]["naive"] == pytest.approx(by_item["C"]["units"]["naive"] * 0.5)
