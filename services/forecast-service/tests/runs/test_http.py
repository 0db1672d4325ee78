"""Runs over HTTP: what is refused, what is the same run, and the stream."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from running import ORIGIN, computed, requested, runner, sold
from stories import run_once

from crossdock_chassis import Service
from crossdock_chassis.testing import OPS, Clients, Deliver, unlisted
from forecast_service.places import series_id
from forecast_service.runs.forget import forget_runs


@pytest.fixture(autouse=True)
async def items(service: Service, deliver: Deliver) -> None:
    await sold(service, deliver, {"A-1": "beer", "A-2": "wine", "B-1": "beer"})


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_routes_list_their_problems(service: Service) -> None:
    assert unlisted(service) == []


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ({"origin": (date.today() + timedelta(days=2)).isoformat()}, 422, "origin-not-reached"),
        ({"origin": "9999-12-31"}, 422, "origin-not-reached"),
        ({}, 422, "origin-not-reached"),  # nothing is counted yet
        ({"origin": "0001-01-01"}, 422, "invalid"),
        ({"origin": "2023-01-01"}, 422, "nothing-to-forecast"),
        ({"origin": "2024-02-30"}, 422, "invalid"),
        ({"origin": "soon"}, 422, "invalid"),
        ({"origin": 1710115200}, 422, "invalid"),
        ({"origin": "2024-03-11", "horizon": 0}, 422, "invalid"),
        ({"origin": "2024-03-11", "horizon": 367}, 422, "invalid"),
        ({"origin": "2024-03-11", "horizon": 1.5}, 422, "invalid"),
        ({"origin": "2024-03-11", "deadline_seconds": 0}, 422, "invalid"),
        ({"origin": "2024-03-11", "category": "cheese"}, 422, "nothing-to-forecast"),
        ({"origin": "2024-03-11", "item_prefix": "%"}, 422, "nothing-to-forecast"),
        ({"origin": "2024-03-11", "item_prefix": "A\0"}, 422, "invalid"),
        ({"origin": "2024-03-11", "colour": "red"}, 422, "invalid"),
        ({"origin": "2024-03-11", "levels": []}, 422, "invalid"),
        ({"origin": "2024-03-11", "levels": ["shelf"]}, 422, "invalid"),
        ({"origin": "2024-03-11", "levels": ["location"]}, 422, "nothing-to-forecast"),
        ({"origin": "2024-03-11", "series": []}, 422, "invalid"),
        ({"origin": "2024-03-11", "series": [str(uuid4())]}, 422, "unknown-series"),
        ({"origin": "2024-03-11", "series": ["x"]}, 422, "invalid"),
        ([], 422, "invalid"),
    ],
)
async def test_garbage_gets_a_clear_problem(client: httpx.AsyncClient, body: object, status: int, name: str) -> None:
    answer = await client.post("/v1/runs", json=body)
    assert problem(answer) == (status, name), answer.text
    assert (await client.get("/v1/runs")).json()["items"] == []


NOBODY = "0193f7a0-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/v1/runs/{NOBODY}", 404),
        ("GET", f"/v1/runs/{NOBODY}/events", 404),
        ("POST", f"/v1/runs/{NOBODY}:cancel", 404),
        ("POST", f"/v1/runs/{NOBODY}:resume", 404),
        ("GET", "/v1/runs/x", 422),
        ("POST", "/v1/runs/x:cancel", 422),
        ("GET", "/v1/runs?cursor=x", 400),
        ("GET", "/v1/runs?limit=0", 422),
    ],
)
async def test_unknown_runs_are_named(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await client.request(method, path)).status_code == status


async def test_origin_is_the_day_after_the_last_whole_one(service: Service, client: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO settled (at) VALUES ($1)", datetime(2024, 3, 11, 0, 5, tzinfo=UTC))
    answer = await client.post("/v1/runs", json={})
    assert (answer.json()["origin"], answer.json()["horizon"]) == ("2024-03-11", 56)
    assert problem(await client.post("/v1/runs", json={"origin": "2024-03-12"})) == (422, "origin-not-reached")


async def test_second_run_of_the_same_series_is_the_first(service: Service, client: httpx.AsyncClient) -> None:
    first = await requested(client, item_prefix="A")
    assert (await requested(client, item_prefix="A"))["id"] == first["id"]
    longer = await client.post("/v1/runs", json={"origin": ORIGIN.isoformat(), "item_prefix": "A", "horizon": 29})
    assert problem(longer) == (409, "run-in-progress")
    assert longer.headers["location"] == f"/v1/runs/{first['id']}"
    assert (await requested(client, item_prefix="B"))["id"] != first["id"]
    await computed(service, client, first)
    assert (await requested(client, item_prefix="A"))["id"] != first["id"]


async def test_runs_requested_at_once_are_one_run(client: httpx.AsyncClient) -> None:
    found = await asyncio.gather(*(requested(client) for _ in range(8)))
    assert len({run["id"] for run in found}) == 1


async def test_same_key_gets_the_same_run_after_its_end(service: Service, client: httpx.AsyncClient) -> None:
    body, key = {"origin": ORIGIN.isoformat()}, {"idempotency-key": "night"}
    first = (await client.post("/v1/runs", json=body, headers=key)).json()
    await computed(service, client, first)
    again = await client.post("/v1/runs", json=body, headers=key)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first["id"], "true")


@pytest.mark.parametrize(
    ("only", "series"),
    [
        ({"item_prefix": "A"}, 2),
        ({"category": "beer"}, 2),
        ({"category": "beer", "item_prefix": "B"}, 1),
        ({"series": [str(series_id("A-2"))]}, 1),
        ({}, 3),
    ],
)
async def test_run_has_the_series_that_fit(client: httpx.AsyncClient, only: dict[str, object], series: int) -> None:
    assert (await requested(client, **only))["series"] == series


async def test_cancelled_run_can_be_resumed_and_a_done_one_cannot(service: Service, client: httpx.AsyncClient) -> None:
    run = await requested(client)
    path = f"/v1/runs/{run['id']}"
    assert (await client.post(f"{path}:resume")).json()["state"] == "running"
    for _ in range(2):
        assert (await client.post(f"{path}:cancel")).json()["state"] == "cancelled"
    other = await requested(client)
    assert problem(await client.post(f"{path}:resume")) == (409, "run-in-progress")
    await computed(service, client, other)
    assert (await client.post(f"{path}:resume")).json()["state"] == "running"
    await computed(service, client, run)
    for verb in ("cancel", "resume"):
        assert problem(await client.post(f"{path}:{verb}")) == (409, "run-ended")


async def test_operators_act_and_are_recorded(service: Service, clients: Clients) -> None:
    operator = clients(service, None, OPS, subject="ann")
    run = await requested(operator)
    for verb in ("cancel", "resume"):
        assert (await operator.post(f"/v1/runs/{run['id']}:{verb}")).status_code == 200
    assert (await operator.get("/v1/runs")).json()["items"][0]["requested_by"] == "ann"
    reader = clients(service, scopes=["forecasts:read"])
    assert (await reader.post("/v1/runs", json={})).status_code == 403
    assert (await reader.get(f"/v1/runs/{run['id']}")).status_code == 200


async def test_runs_are_listed_by_page_the_newest_first(client: httpx.AsyncClient) -> None:
    made = [(await requested(client, item_prefix=each))["id"] for each in ("A", "B", "A-1")]
    first = (await client.get("/v1/runs", params={"limit": 2})).json()
    second = (await client.get("/v1/runs", params={"limit": 2, "cursor": first["next"]})).json()
    assert [run["id"] for run in [*first["items"], *second["items"]]] == made[::-1]
    assert second["next"] is None


async def test_stream_follows_a_run_to_its_end(service: Service, client: httpx.AsyncClient) -> None:
    run = await requested(client)
    async with runner(service), asyncio.timeout(60):
        answer = await client.get(f"/v1/runs/{run['id']}/events")  # this transport returns the whole stream
    assert answer.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert (states[-1]["state"], states[-1]["done"], states[-1]["left"]) == ("done", 3, 0)


async def test_old_runs_are_forgotten(service: Service, client: httpx.AsyncClient) -> None:
    old, running = await requested(client), await requested(client, item_prefix="A")
    await client.post(f"/v1/runs/{old['id']}:cancel")
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE runs SET ended_at = now() - interval '101 days' WHERE ended_at IS NOT NULL")
    assert await run_once(service, forget_runs) == {"forgotten": 1}
    assert [run["id"] for run in (await client.get("/v1/runs")).json()["items"]] == [running["id"]]
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM run_chunks") == 1
