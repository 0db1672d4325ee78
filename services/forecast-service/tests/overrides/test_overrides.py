"""Overrides over HTTP: stored, published at once, kept by runs, and gone when they end."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from stories import NOON, at, placed, registered, run_once

from crossdock_chassis import Service, Unit, new_id
from crossdock_chassis.testing import OPS, Clients, Deliver, Violations, published, unlisted
from forecast_service.demand.history import REGISTER, find
from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.forecasts import checks, follow_overrides
from forecast_service.forecasts.publish import publish, republish
from forecast_service.overrides import store
from forecast_service.overrides.forget import forget_overrides
from forecast_service.places import Zones, series_id
from forecast_service.series.views import plot
from forecast_service.service import Settings, build

ORIGIN = date(2026, 3, 11)
HORIZON = 28
MEANS = {"A": 6.0, "B": 3.0, "C": 1.0, "Z": 0.0}
CATEGORIES = {"A": "beer", "B": "beer", "C": "wine", "Z": "water"}


def outcome(item: str, mean: float) -> Outcome:
    quantiles = [[round(mean * (0.5 + level))] * HORIZON for level in QUANTILES]
    cumulative = [[round(mean * (0.5 + level) * day) for day in range(1, HORIZON + 1)] for level in QUANTILES]
    return Outcome(str(series_id(item)), "theta", "smooth", Fan([mean] * HORIZON, quantiles, cumulative))


async def run(service: Service, means: Mapping[str, float], later: int = 0) -> UUID:
    id = new_id()
    async with service.database.unit() as unit:
        await publish(unit, id, ORIGIN + timedelta(days=later), [outcome(*each) for each in means.items()])
    return id


@pytest.fixture
async def service(service: Service, deliver: Deliver) -> Service:
    """Return a service with a forecast of each item."""
    await deliver(service, *(registered(item, category) for item, category in CATEGORIES.items()))
    await deliver(service, *(at(NOON, placed(new_id(), {item: 1})) for item in CATEGORIES))
    async with service.database.unit() as unit:
        await find(unit.sql, until=ORIGIN - timedelta(days=1))
    await run(service, MEANS)
    return service


def body(**changes: object) -> dict[str, object]:
    given = {"level": "item", "item_id": "A", "kind": "absolute", "value": 70, "why": "Ann's wedding"}
    given |= {"first_day": "2026-03-12", "last_day": "2026-03-18"}
    return {name: value for name, value in (given | changes).items() if value is not None}


async def post(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await client.post("/v1/overrides", json=body(**changes))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/overrides/{answer.json()['id']}"
    found: dict[str, Any] = answer.json()
    return found


async def follow(service: Service) -> None:
    await run_once(service, follow_overrides.follow_overrides)


async def forecast(client: httpx.AsyncClient, item: str, **query: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/v1/forecasts", params={"item_id": item, **query})).json()
    return found


async def week(client: httpx.AsyncClient, item: str) -> float:
    """Return the published sum of the days that `body` overrides."""
    return float(sum(day["mean"] for day in (await forecast(client, item))["days"][1:8]))


async def events(service: Service, of: str) -> list[dict[str, Any]]:
    rows = await published(service)
    return [json.loads(row["value"]) for row in rows if f"crossdock.{of}.v1" in str(row["headers"])]


async def test_override_at_a_location_leaves_the_whole_item(
    service: Service, client: httpx.AsyncClient, violations: Violations
) -> None:
    north = series_id("A", "north")
    async with service.database.unit() as unit:
        await unit.sql.execute(REGISTER, [north], ["A"], ["north"], [""])
        await publish(unit, new_id(), ORIGIN, [replace(outcome("A", 2.0), series=str(north))])
    made = await post(client, location_id="north", value=28)
    assert (made["forecast"], made["series"], made["location_id"]) == (14.0, 1, "north")
    await follow(service)
    shown = await forecast(client, "A", location_id="north")
    assert sum(day["mean"] for day in shown["days"][1:8]) == pytest.approx(28)
    assert await week(client, "A") == pytest.approx(42)
    (stated,) = await events(service, "ForecastOverridden")
    assert (stated["item_id"], stated["location_id"]) == ("A", "north")
    assert (await client.post("/v1/overrides", json=body(location_id="north"))).status_code == 409
    await post(client)  # of the whole item, on the same days
    await follow(service)
    assert await week(client, "A") == pytest.approx(70)
    nowhere = await client.post("/v1/overrides", json=body(location_id="south"))
    assert (nowhere.status_code, nowhere.json()["errors"][0]["pointer"]) == (422, "/location_id")
    assert await violations(service) == {}


async def test_override_of_an_item_is_published_at_once(
    service: Service, client: httpx.AsyncClient, violations: Violations
) -> None:
    before = datetime.now(UTC).isoformat()
    made = await post(client)
    assert (made["forecast"], made["series"], made["published"], made["status"]) == (42.0, 1, 0, "in_force")
    await follow(service)
    *_, event = await events(service, "ForecastUpdated")
    assert (event["overrides"], event["mean"][:2], event["model_mean"][:2]) == ([made["id"]], [6.0, 10.0], [6.0, 6.0])
    (stated,) = await events(service, "ForecastOverridden")
    assert (stated["override_id"], stated["value"], stated["status"]) == (made["id"], 70.0, "in_force")
    assert "wedding" not in json.dumps(stated)
    shown = await forecast(client, "A")
    assert (shown["overrides"], shown["version"]) == ([made["id"]], 2)
    day = shown["days"][1]
    assert (day["mean"], day["model_mean"], day["quantiles"]) == (10.0, 6.0, [7.0, 10.0, 13.0, 14.0, 14.0])
    assert sum(each["mean"] for each in shown["days"][1:8]) == pytest.approx(70)
    then = await forecast(client, "A", as_of=before)
    assert (then["overrides"], then["days"][1]["mean"]) == ([], 6.0)
    assert (await client.get(f"/v1/overrides/{made['id']}")).json()["published"] == 1
    assert await violations(service) == {}


async def test_plot_has_the_forecast_with_and_without_overrides(service: Service, client: httpx.AsyncClient) -> None:
    made = await post(client)
    await follow(service)
    async with service.database.unit() as unit:
        shown = await plot(unit.sql, Zones(), series_id("A"), 28, 960, 420)
    assert (shown.mean.values[1], shown.fan[0.9][1]) == (10.0, 13.0)
    assert shown.without_overrides is not None and shown.without_overrides.values[1] == 6.0
    await client.post(f"/v1/overrides/{made['id']}:withdraw")
    await follow(service)
    async with service.database.unit() as unit:
        shown = await plot(unit.sql, Zones(), series_id("A"), 28, 960, 420)
    assert (shown.mean.values[1], shown.without_overrides) == (6.0, None)


async def test_withdrawn_override_gives_the_forecast_back(
    service: Service, client: httpx.AsyncClient, clients: Clients, violations: Violations
) -> None:
    made = await post(client)
    await follow(service)
    between = datetime.now(UTC).isoformat()
    operator = clients(service, None, OPS, subject="ann")
    gone = await operator.post(f"/v1/overrides/{made['id']}:withdraw")
    assert (gone.json()["status"], gone.json()["ended_by"]) == ("withdrawn", "ann")
    assert (await operator.post(f"/v1/overrides/{made['id']}:withdraw")).json() == gone.json()
    await follow(service)
    now, then = await forecast(client, "A"), await forecast(client, "A", as_of=between)
    assert (now["overrides"], now["days"][1]["mean"], now["version"]) == ([], 6.0, 3)
    assert (then["overrides"], then["days"][1]["mean"]) == ([made["id"]], 10.0)
    assert [each["status"] for each in await events(service, "ForecastOverridden")] == ["in_force", "withdrawn"]
    assert await week(client, "A") == 42.0
    await post(client)  # its days are free again
    await follow(service)
    assert await violations(service) == {}


async def test_later_runs_keep_the_override(
    service: Service, client: httpx.AsyncClient, violations: Violations
) -> None:
    made = await post(client)
    await follow(service)
    await run(service, {"A": 6.1})
    shown = await forecast(client, "A")
    assert (shown["version"], shown["overrides"], shown["days"][1]["mean"]) == (None, [made["id"]], 10.0)
    await run(service, {"A": 20.0}, later=2)
    shown = await forecast(client, "A")
    assert (shown["version"], shown["days"][0]["mean"], shown["days"][7]["mean"]) == (3, 10.0, 20.0)
    await run(service, {"A": 20.0}, later=9)  # the days of the override are over
    assert (await forecast(client, "A"))["overrides"] == []
    assert await violations(service) == {}


async def test_category_and_total_are_spread_by_forecasts(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, violations: Violations
) -> None:
    monkeypatch.setattr(follow_overrides, "CHUNK", 1)
    made = await post(client, level="total", item_id=None, value=101)
    assert (made["series"], made["forecast"]) == (4, 70.0)
    await follow(service)
    assert [await week(client, item) for item in "ABCZ"] == [pytest.approx(each) for each in (61, 30, 10, 0)]
    added = await post(client, level="category", item_id=None, category="beer", kind="add", value=-9)
    assert added["series"] == 2
    await post(client, item_id="B", kind="percent", value=100)
    await follow(service)
    assert [await week(client, item) for item in "ABCZ"] == [pytest.approx(each) for each in (55, 54, 10, 0)]
    assert len((await forecast(client, "B"))["overrides"]) == 3
    assert await violations(service) == {}


async def test_interrupted_publishing_goes_on(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_overrides, "CHUNK", 2)
    calls = 0

    async def fail_once(unit: Unit, series: Sequence[UUID]) -> int:
        nonlocal calls
        calls += 1
        sent = await republish(unit, series)
        if calls == 2:
            raise ConnectionError
        return sent

    monkeypatch.setattr(follow_overrides, "republish", fail_once)
    made = await post(client, level="total", item_id=None, kind="percent", value=50)
    with pytest.raises(ConnectionError):
        await follow(service)
    assert (await client.get(f"/v1/overrides/{made['id']}")).json()["published"] == 2
    await follow(service)
    sent = [each["item_id"] for each in await events(service, "ForecastUpdated") if each.get("overrides")]
    assert sorted(sent) == ["A", "B", "C", "Z"]


async def test_category_without_demand_is_spread_evenly(service: Service, client: httpx.AsyncClient) -> None:
    await post(client, level="category", item_id=None, category="water", value=14)
    await follow(service)
    shown = await forecast(client, "Z")
    assert [day["mean"] for day in shown["days"][:3]] == [0.0, 2.0, 2.0]
    assert shown["days"][1]["quantiles"] == [0.0, 2.0, 4.0, 4.0, 5.0]


async def test_override_ends_when_it_expires(
    service: Service, client: httpx.AsyncClient, violations: Violations
) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = await post(client, expires_at=soon)
    await follow(service)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE overrides SET expires_at = now() - interval '1 second'")
    await run(service, {"A": 6.1}, later=1)
    assert (await forecast(client, "A"))["overrides"] == []  # a run does not wait for the job
    await follow(service)
    shown = (await client.get(f"/v1/overrides/{made['id']}")).json()
    assert (shown["status"], shown["ended_by"]) == ("expired", None)
    answer = await client.post(f"/v1/overrides/{made['id']}:withdraw")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "override-ended")
    assert await violations(service) == {}


async def test_second_override_of_a_day_names_the_first(service: Service, client: httpx.AsyncClient) -> None:
    first = await post(client)
    answer = await client.post("/v1/overrides", json=body(first_day="2026-03-18", last_day="2026-03-20"))
    assert (answer.status_code, answer.json()["override_id"]) == (409, first["id"])
    assert answer.headers["location"] == f"/v1/overrides/{first['id']}"
    await post(client, first_day="2026-03-19", last_day="2026-03-20")
    await post(client, item_id="B")
    await post(client, level="category", item_id=None, category="beer")
    await post(client, level="total", item_id=None)


async def test_one_of_two_overrides_at_once_is_refused(
    service: Service, client: httpx.AsyncClient, clients: Clients
) -> None:
    rival = build(cast(Settings, service.settings))
    try:
        other = clients(rival, scopes=("forecasts:write",))
        answers = await asyncio.gather(*(each.post("/v1/overrides", json=body()) for each in (client, other) * 3))
    finally:
        await rival.database.close()
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


async def test_same_key_gives_the_same_override(service: Service, client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    first, again = [await client.post("/v1/overrides", json=body(), headers=headers) for _ in range(2)]
    assert first.json() == again.json() and again.headers["idempotent-replayed"] == "true"


async def test_overrides_are_listed_by_pages(service: Service, client: httpx.AsyncClient) -> None:
    made = [(await post(client, item_id=item))["id"] for item in "ABC"]
    await client.post(f"/v1/overrides/{made[0]}:withdraw")
    page = (await client.get("/v1/overrides", params={"limit": 2})).json()
    rest = (await client.get("/v1/overrides", params={"cursor": page["next"]})).json()
    assert [each["id"] for each in page["items"] + rest["items"]] == made[::-1] and rest["next"] is None
    for query, found in (({"status": "withdrawn"}, made[:1]), ({"item_id": "B"}, made[1:2]), ({"category": "x"}, [])):
        assert [each["id"] for each in (await client.get("/v1/overrides", params=query)).json()["items"]] == found


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"item_id": "unknown"}, "/item_id"),
        ({"level": "category", "item_id": None, "category": "unknown"}, "/category"),
        ({"item_id": None}, "/item_id"),
        ({"category": "beer"}, "/category"),
        ({"level": "total"}, "/item_id"),
        ({"level": "shop"}, "/level"),
        ({"value": "NaN"}, "/value"),
        ({"value": 1e300}, "/value"),
        ({"value": 1.5}, "/value"),
        ({"value": -1}, "/value"),
        ({"kind": "percent", "value": -101}, "/value"),
        ({"first_day": "2026-03-19"}, "/last_day"),
        ({"first_day": "2026-03-10"}, "/first_day"),
        ({"first_day": "2020-01-01", "last_day": "2020-01-02"}, "/first_day"),
        ({"last_day": "2026-04-08"}, "/last_day"),
        ({"first_day": 0}, "/first_day"),
        ({"why": ""}, "/why"),
        ({"why": "x" * 501}, "/why"),
        ({"why": None}, "/why"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": 5}, "/expires_at"),
    ],
)
async def test_impossible_override_is_refused(
    service: Service, client: httpx.AsyncClient, changes: dict[str, object], pointer: str
) -> None:
    answer = await client.post("/v1/overrides", json=body(**changes))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
    assert (await client.get("/v1/overrides")).json()["items"] == []
    assert unlisted(service) == []


async def test_unknown_override_is_404(service: Service, client: httpx.AsyncClient) -> None:
    answers = [await client.get(f"/v1/overrides/{uuid4()}"), await client.post(f"/v1/overrides/{uuid4()}:withdraw")]
    assert {answer.json()["type"].rpartition(":")[2] for answer in answers} == {"no-such-override"}


async def test_broken_tables_are_found(service: Service, client: httpx.AsyncClient, violations: Violations) -> None:
    await post(client)
    await follow(service)
    for edit, title in (
        ("UPDATE series SET published_overrides = '{}'", checks.NOT_IN_FORCE.title),
        ("UPDATE adjusted_forecasts SET mean[2] = 6", checks.NOT_IN_FORCE.title),
        ("DELETE FROM adjusted_forecasts", checks.NOT_IN_FORCE.title),
        ("UPDATE override_parts SET daily[1] = 11", checks.NOT_IN_FORCE.title),
        ("UPDATE series SET published_origin = '2026-03-01'", checks.NOT_STORED.title),
        ("DELETE FROM forecasts", checks.NOT_STORED.title),
        ("UPDATE overrides SET value = 71", checks.NOT_THEIR_EVENTS.title),
        ("DELETE FROM overrides", checks.NOT_THEIR_EVENTS.title),
    ):
        assert title in await violations(service, edit), edit


async def test_old_overrides_are_forgotten(service: Service, client: httpx.AsyncClient) -> None:
    await post(client)
    kept = await post(client, item_id="B")
    await follow(service)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE overrides SET last_day = current_date - 401 WHERE item_id = 'A'")
        await unit.sql.execute("UPDATE overrides SET last_day = current_date WHERE item_id = 'B'")
    assert await run_once(service, forget_overrides) == {"forgotten": 1}
    assert [each["id"] for each in (await client.get("/v1/overrides")).json()["items"]] == [kept["id"]]


async def test_publishing_waits_for_a_change_of_overrides(service: Service, client: httpx.AsyncClient) -> None:
    """Without the lock, the run would publish without the override and mark its series as published."""
    made = await post(client)
    async with service.database.unit() as unit:
        await unit.sql.execute(store.CHANGING)
        running = asyncio.create_task(run(service, {"A": 9.0}, later=1))
        done, _ = await asyncio.wait({running}, timeout=0.2)
        assert not done
    await running
    assert (await forecast(client, "A"))["overrides"] == [made["id"]]
