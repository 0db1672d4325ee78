"""What planners state about new items, what is refused, and what runs and jobs make of it."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from running import ORIGIN, SELL, computed, forecasts, requested, sold
from stories import NOON, at, registered, run_once

from crossdock_chassis import Service
from crossdock_chassis.testing import OPS, Clients, Deliver, published, unlisted
from crossdock_events.items import ItemChanged
from forecast_service.demand.history import find, histories
from forecast_service.introductions.apply import carried
from forecast_service.introductions.end import End
from forecast_service.introductions.model import Category, like_category
from forecast_service.places import Zones, series_id


@pytest.fixture(autouse=True)
async def items(service: Service, deliver: Deliver) -> None:
    """A and B have demand, and N is new."""
    await sold(service, deliver, {"A": "beer", "B": "beer"})
    await deliver(service, registered("N", "beer"))


async def put(client: httpx.AsyncClient, item: str, **body: object) -> httpx.Response:
    return await client.put(f"/v1/introductions/{item}", json=body)


def like(*items: str) -> list[dict[str, object]]:
    return [{"item_id": item, "weight": 1 / len(items)} for item in items]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/successor_of"),
        ({"successor_of": "A", "like": like("B")}, "/successor_of"),
        ({"successor_of": "N"}, "/successor_of"),
        ({"successor_of": "X"}, "/successor_of"),
        ({"like": like("A", "N")}, "/like/1/item_id"),
        ({"like": like("A", "A")}, "/like/1/item_id"),
        ({"like": like("X", "A")}, "/like/0/item_id"),
        ({"like": [{"item_id": "A", "weight": 0.5}]}, "/like"),
        ({"like": [{"item_id": "A", "weight": 0}]}, "/like/0/weight"),
        ({"like": [{"item_id": "A", "weight": "1"}]}, "/like/0/weight"),
        ({"like": [{"item_id": "A", "weight": 0.1}] * 11}, "/like"),
        ({"like": like("A"), "ramp_days": 7}, "/start"),
        ({"like": like("A"), "ramp_days": 367}, "/ramp_days"),
        ({"like": like("A"), "scale": 0}, "/scale"),
        ({"like": like("A"), "start": "2026-02-30"}, "/start"),
        ({"like": like("A"), "colour": "red"}, "/colour"),
    ],
)
async def test_garbage_is_refused_with_its_place(
    client: httpx.AsyncClient, body: dict[str, object], pointer: str
) -> None:
    answer = await put(client, "N", **body)
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert (await client.get("/v1/introductions")).json()["items"] == []


async def test_circle_of_successors_is_refused(client: httpx.AsyncClient) -> None:
    assert (await put(client, "B", successor_of="A")).status_code == 200
    assert (await put(client, "N", like=like("B"))).status_code == 200
    answer = await put(client, "A", successor_of="N")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "circle")
    assert "A → N → B → A" in answer.json()["detail"]
    assert (await put(client, "N", like=like("A"))).status_code == 200
    assert (await client.get("/v1/introductions/A")).status_code == 404


async def test_introductions_are_listed_and_recorded(
    service: Service, client: httpx.AsyncClient, clients: Clients
) -> None:
    operator = clients(service, None, OPS, subject="ann")
    stated = await put(operator, "N", like=like("A", "B"), scale=0.5, start="2026-12-01", ramp_days=28)
    assert stated.json() | {"changed_at": ""} == {
        "item_id": "N",
        "successor_of": None,
        "like": [{"item_id": "A", "weight": 0.5}, {"item_id": "B", "weight": 0.5}],
        "scale": 0.5,
        "start": "2026-12-01",
        "ramp_days": 28,
        "changed_at": "",
        "changed_by": "ann",
    }
    await put(client, "B", successor_of="A")
    first = (await client.get("/v1/introductions", params={"limit": 1})).json()
    second = (await client.get("/v1/introductions", params={"limit": 1, "cursor": first["next"]})).json()
    assert [each["items"][0]["item_id"] for each in (first, second)] == ["B", "N"] and second["next"] is None
    for _ in range(2):
        assert (await operator.delete("/v1/introductions/N")).status_code == 204
    async with service.database.unit() as unit:
        recorded = await unit.sql.fetch("SELECT who, before::text, after::text FROM operator_action ORDER BY id")
    mine = [row for row in recorded if row["who"] == "ann"]
    assert [(row["before"] is None, row["after"] is None) for row in mine] == [(True, False), (False, True)]
    assert (await client.get("/v1/introductions/N")).status_code == 404
    assert (await put(client, "X", successor_of="A")).status_code == 404
    assert (await client.get("/v1/introductions?cursor=x")).status_code == 400
    assert unlisted(service) == []


async def means(service: Service, client: httpx.AsyncClient, **only: object) -> dict[str, Any]:
    """Run, and return the first mean of each item. The forecaster of the tests takes the mean of the last 28 days."""
    done = await computed(service, client, await requested(client, **only))
    assert done["failed"] == 0
    return {row["item_id"]: row["mean"] for row in await forecasts(service, done["id"])}


async def test_run_forecasts_a_new_item_like_others(service: Service, client: httpx.AsyncClient) -> None:
    before = await means(service, client)
    assert before.keys() == {"A", "B"}  # without an introduction nothing is expected of N
    start = ORIGIN + timedelta(days=2)
    await put(client, "N", like=like("A", "B"), scale=2, start=start.isoformat())
    after = await means(service, client)
    assert after["N"][:3] == pytest.approx([0, 0, before["A"][0] + before["B"][0]])
    assert {item: after[item] for item in "AB"} == before


async def test_category_of_a_new_item_has_what_its_items_sold(service: Service) -> None:
    """A sold 6 each day, and B from 3 to 9. N is new, and sold 7 on the first of three days."""
    days = [ORIGIN - timedelta(days=day) for day in (1, 2, 3)]
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, ["N"] * 3, [""] * 3, [""] * 3, days, [0, 2, 7])
        await find(unit.sql, until=days[0])
        own = await histories(unit.sql, [series_id("N")], days[0])
        same, known = await carried(unit.sql, own, ORIGIN, 7)
    sold = [0.0] * 7
    for day in range(1, 57):
        sold[(ORIGIN - timedelta(days=day)).weekday()] += 6 + 3 + day % 7
    sold[days[1].weekday()] += 2
    sold[days[2].weekday()] += 7
    assert same == own
    assert known[str(series_id("N"))] == like_category(own[0], Category(sold, 3), ORIGIN, 7)


async def test_successor_has_the_history_of_a_discontinued_item(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    before = await means(service, client)
    await put(client, "N", successor_of="A")
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, ["A", "N"], ["north"] * 2, [""] * 2, [ORIGIN - timedelta(days=1)] * 2, [28, 0])
    gone = ItemChanged(item_id="A", unit_of_measure="each", category="beer", status="discontinued")
    await deliver(service, at(NOON, gone, 2))
    after = await means(service, client, levels=["item"])
    assert after.keys() == {"B", "N"} and after["N"] == before["A"]
    north = await means(service, client, levels=["location"])
    assert north == {"N": [28.0] * 28}  # one day of history at that location


async def test_discontinued_item_is_forecast_as_zero_once(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await means(service, client)
    end = End(Zones())
    assert await run_once(service, end.end_forecasts) == {"ended": 0}
    for sequence, status in ((2, "discontinued"), (3, "active"), (4, "discontinued")):
        changed = ItemChanged(item_id="A", unit_of_measure="each", category="beer", status=status)
        await deliver(service, at(NOON, changed, sequence))
        if status == "active":
            assert sum((await means(service, client))["A"]) > 0
        else:
            assert (await means(service, client)).keys() == {"B"}
            assert [await run_once(service, end.end_forecasts) for _ in range(2)] == [{"ended": 1}, {"ended": 0}]
    sent = [json.loads(row["value"]) for row in await published(service)]
    ends = [(each["model"], sum(each["mean"])) for each in sent if each["item_id"] == "A"]
    assert [model for model, _ in ends] == ["full", "discontinued", "full", "discontinued"]
    assert [total > 0 for _, total in ends] == [True, False, True, False]
    shown = (await client.get("/v1/forecasts", params={"item_id": "A"})).json()
    assert (shown["model"], shown["days"][0]["mean"], len(shown["days"])) == ("discontinued", 0, 28)


async def test_end_is_published_although_nothing_was_expected(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(SELL, ["N"], [""], [""], [ORIGIN - timedelta(days=40)], [1])
    assert sum((await means(service, client))["N"]) == 0
    gone = ItemChanged(item_id="N", unit_of_measure="each", category="beer", status="discontinued")
    await deliver(service, at(NOON, gone, 2))
    end = End(Zones())
    assert [await run_once(service, end.end_forecasts) for _ in range(2)] == [{"ended": 1}, {"ended": 0}]
    sent = [json.loads(row["value"]) for row in await published(service)]
    assert [each["model"] for each in sent if each["item_id"] == "N"] == ["full", "discontinued"]
