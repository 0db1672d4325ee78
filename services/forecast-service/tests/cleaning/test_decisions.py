"""What a run cleaned is shown and announced once, and a person may undo or pin it."""

import json
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import forecasters
import httpx
import pytest
from running import ORIGIN, computed, requested
from stories import imported, registered

from crossdock_chassis import Service
from crossdock_chassis.testing import OPS, Clients, Deliver, published, unlisted
from forecast_service.places import Zones, series_id
from forecast_service.series.drawing import draw
from forecast_service.series.model import Plot
from forecast_service.series.views import plot

SPIKE = ORIGIN - timedelta(days=2)
SERIES = f"/v1/series/{series_id('A')}/cleaning"


@pytest.fixture(autouse=True)
async def demand(service: Service, client: httpx.AsyncClient, deliver: Deliver) -> None:
    """A sells 10 to 13 a day, and 400 on SPIKE; five days in January it was out of stock."""
    rows = []
    for n in range(1, 120):
        day = ORIGIN - timedelta(days=n)
        out = 50 <= n < 55
        rows.append(f"A,{day},{400 if day == SPIKE else 1 if out else 10 + n % 4},{'false' if out else 'true'}\n")
        rows.append(f"B,{day},{10 + n % 4},\n")
    await imported(service, client, "item_id,day,quantity,in_stock\n" + "".join(rows))
    await deliver(service, registered("A"), registered("B"))


async def run(service: Service, client: httpx.AsyncClient, origin: date = ORIGIN) -> dict[str, Any]:
    asked = await requested(client, origin=origin.isoformat())
    done = await computed(service, client, asked, forecasters.real)
    assert done["failed"] == 0
    return done


async def outliers(service: Service) -> list[dict[str, Any]]:
    sent = [row for row in await published(service) if "DemandOutlierDetected" in str(row["headers"])]
    return [json.loads(row["value"]) for row in sent]


async def plotted(service: Service) -> Plot:
    async with service.database.unit() as unit:
        return await plot(unit.sql, Zones(), series_id("A"), 120, 960, 420)


async def test_decisions_are_shown_and_outliers_announced_once(service: Service, client: httpx.AsyncClient) -> None:
    first = await run(service, client)
    listed = (await client.get(SERIES)).json()
    assert [(each["rule"], each["before"]) for each in listed["items"]] == [
        ("outlier", 400),
        *[("out_of_stock", 1)] * 5,
    ]
    spike = listed["items"][0]
    assert (spike["day"], spike["run_id"], spike["verdict"]) == (str(SPIKE), first["id"], None)
    assert 10 <= spike["after"] <= 13 and "Far above" in spike["reason"]
    pages = (await client.get(SERIES, params={"limit": 2})).json()
    rest = (await client.get(SERIES, params={"limit": 50, "cursor": pages["next"]})).json()
    assert pages["items"] + rest["items"] == listed["items"] and rest["next"] is None
    assert (await client.get(f"/v1/series/{series_id('B')}/cleaning")).json() == {"items": [], "next": None}
    drawn = await plotted(service)
    assert len(drawn.marks["cleaned"]) == 6
    assert f"Days marked as cleaned: 2024-01-17 to 2024-01-21, {SPIKE}." in drawn.description
    assert b">cleaned</text>" in draw(drawn, "svg")[0]

    for origin in (ORIGIN - timedelta(days=1), ORIGIN):
        again = await run(service, client, origin)
    assert (await client.get(SERIES)).json()["items"][0]["run_id"] == again["id"]
    (event,) = await outliers(service)
    assert (event["item_id"], event["day"], event["demand"], event["run_id"]) == ("A", str(SPIKE), 400, first["id"])
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT max(quantity) FROM imported_demand") == 400, "demand stays"


async def test_undone_decision_lets_the_next_run_learn_the_demand(
    service: Service, client: httpx.AsyncClient, clients: Clients
) -> None:
    operator = clients(service, None, OPS, subject="ann")
    await run(service, client)
    forecast = (await client.get("/v1/forecasts", params={"item_id": "A"})).json()
    undone = (await operator.post(f"{SERIES}/{SPIKE}:undo")).json()
    assert (undone["verdict"], undone["verdict_by"], undone["before"]) == ("undone", "ann", 400)
    assert (await operator.post(f"{SERIES}/{SPIKE}:undo")).json() == undone
    assert SPIKE not in (await plotted(service)).marks["cleaned"]
    await run(service, client)
    learnt = (await client.get("/v1/forecasts", params={"item_id": "A"})).json()
    assert sum(day["mean"] for day in learnt["days"]) > 1.2 * sum(day["mean"] for day in forecast["days"])
    assert (await client.get(SERIES)).json()["items"][0] == undone, "it is still shown"
    assert (await client.post(f"{SERIES}/{SPIKE}:reset")).json()["verdict"] is None
    await run(service, client)
    assert (await client.get("/v1/forecasts", params={"item_id": "A"})).json()["days"] == forecast["days"]
    async with service.database.unit() as unit:
        actions = await unit.sql.fetch(
            "SELECT action, target FROM operator_action WHERE action LIKE 'cleaning:%' ORDER BY id"
        )
    assert [row["action"] for row in actions] == ["cleaning:undo", "cleaning:reset"]
    assert actions[0]["target"] == f"{SERIES}/{SPIKE}"


async def test_pinned_decision_holds_whatever_is_found_later(service: Service, client: httpx.AsyncClient) -> None:
    await run(service, client)
    pinned = (await client.post(f"{SERIES}/{SPIKE}:pin")).json()
    rows = "".join(f"A,{SPIKE + timedelta(days=n)},{400}\n" for n in (-3, -2, -1, 1))  # now it seems to last
    await imported(service, client, "item_id,day,quantity\n" + rows)
    await run(service, client)
    (still,) = [each for each in (await client.get(SERIES)).json()["items"] if each["rule"] == "outlier"]
    assert (still["day"], still["after"], still["verdict"]) == (str(SPIKE), pinned["after"], "pinned")


async def test_impossible_requests_get_a_clear_answer(service: Service, client: httpx.AsyncClient) -> None:
    await run(service, client)
    assert unlisted(service) == []
    for path, status, name in (
        (f"/v1/series/{uuid4()}/cleaning", 404, "no-such-series"),
        ("/v1/series/x/cleaning", 422, "invalid"),
        (f"{SERIES}?cursor=x", 400, "bad-cursor"),
        (f"{SERIES}?limit=0", 422, "invalid"),
    ):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, name), answer.text
    for verb in ("undo", "pin", "reset"):
        for path, status, name in (
            (f"/v1/series/{uuid4()}/cleaning/{SPIKE}:{verb}", 404, "no-such-series"),
            (f"{SERIES}/{ORIGIN}:{verb}", 404, "no-such-decision"),
            (f"{SERIES}/2026-02-30:{verb}", 422, "invalid"),
            (f"{SERIES}/0:{verb}", 422, "invalid"),
        ):
            answer = await client.post(path)
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, name), answer.text
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE cleaning_decisions SET rule = 'ended' WHERE day = $1", SPIKE)
    answer = await client.post(f"{SERIES}/{SPIKE}:pin")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "decision-not-pinnable")


async def test_accuracy_leaves_out_days_out_of_stock(service: Service, client: httpx.AsyncClient) -> None:
    begin = ORIGIN - timedelta(days=56)
    await run(service, client, begin)
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO settled (at) VALUES (now())")
    query = {"since": str(begin), "until": str(begin + timedelta(days=13)), "item_id": "A"}
    found = (await client.get("/v1/accuracy", params=query)).json()["all"]
    assert found["count"] == 14 - 5
    assert found["actual"] == sum(10 + n % 4 for n in range(43, 57) if not 50 <= n < 55)
