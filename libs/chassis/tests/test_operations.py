"""`GET /v1/operations`: the state of a service from its own database."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from examples import placed
from on_kafka import ORDERS, all_published, eventually, from_now_on, publish, relay, running

from crossdock_chassis import Service, every
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging import progress as progress_module
from crossdock_chassis.testing import OPS, Clients

POSITIONS = "INSERT INTO consumer_position VALUES ($1, $2, $3, $4)"
PROGRESS = "INSERT INTO consumer_progress VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"


async def shown(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/operations")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def group(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    return next(each for each in (await shown(client))["groups"] if each["group"] == name)


@pytest.fixture
def ops(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, ["ops:read"], subject="ann")


async def test_new_service_has_nothing_and_knows_nothing(service: Service, ops: httpx.AsyncClient) -> None:
    found = await shown(ops)
    assert (found["service"], found["jobs"]) == (service.name, [])
    assert found["outbox"] == {"depth": 0, "age_seconds": 0, "limit": 50_000, "relay_runs": False}
    mine = next(each for each in found["groups"] if each["group"] == service.name)
    assert (mine["kind"], mine["partitions"], mine["lag"], mine["seen_at"]) == ("reaction", [], None, None)
    assert (mine["poison"], mine["stopped"]) == (0, [])


async def test_lag_rate_and_time_to_clear_of_a_group(service: Service, ops: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        ago = unit.now - timedelta(seconds=100)
        for partition, position, end, rate, inflow in (
            (0, 100, 100, 0.0, 0.0),
            (1, 50, 250, 30.0, 10.0),
            (2, 500, 450, 5.0, 0.0),
        ):
            await unit.sql.execute(POSITIONS, service.name, ORDERS, partition, position)
            await unit.sql.execute(PROGRESS, service.name, ORDERS, partition, end, ago, rate, inflow, unit.now)
    found = await group(ops, service.name)
    idle, behind, ahead = found["partitions"]
    assert (idle["lag"], idle["lag_seconds"], idle["seconds_to_clear"]) == (0, 0, 0)
    assert (behind["lag"], behind["rate"], behind["seconds_to_clear"]) == (200, 30, 10)
    assert 100 <= behind["lag_seconds"] < 160
    assert (ahead["lag"], ahead["end"], ahead["position"]) == (0, 450, 500), "handled since the end was stored"
    assert (found["lag"], found["rate"], found["seconds_to_clear"]) == (200, 35, 10)
    assert found["lag_seconds"] == behind["lag_seconds"] and found["seen_at"]


@pytest.mark.parametrize(("rate", "inflow"), [(None, None), (0.0, 0.0), (5.0, 5.0), (5.0, 9.0)])
async def test_lag_that_does_not_shrink_has_no_time_to_clear(
    service: Service, ops: httpx.AsyncClient, rate: float | None, inflow: float | None
) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(POSITIONS, service.name, ORDERS, 0, 1)
        await unit.sql.execute(PROGRESS, service.name, ORDERS, 0, 9, None, rate, inflow, unit.now)
    found = await group(ops, service.name)
    assert (found["lag"], found["seconds_to_clear"], found["lag_seconds"]) == (8, None, None)


async def test_none_unknown_and_no_longer_read_differ(service: Service, ops: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(POSITIONS, service.name, ORDERS, 0, 5)
        await unit.sql.execute(PROGRESS, service.name, ORDERS, 0, 5, None, 0.0, 0.0, unit.now)
        await unit.sql.execute(POSITIONS, service.name, ORDERS, 1, 5)
        await unit.sql.execute(POSITIONS, service.name, "a.topic.of.an.old.version", 0, 5)
        await unit.sql.execute(POSITIONS, "an-old-group", ORDERS, 0, 5)
    mine = await group(ops, service.name)
    old, none, unknown = mine["partitions"]
    assert (none["lag"], unknown["lag"], unknown["end"], unknown["seen_at"]) == (0, None, None, None)
    assert (none["reads"], old["reads"]) == (True, False)
    assert mine["lag"] is None, "one of its partitions is unknown"
    gone = await group(ops, "an-old-group")
    assert (gone["kind"], gone["partitions"][0]["reads"], gone["lag"]) == (None, False, None)


async def test_stops_and_dead_letters_are_shown_with_their_group(service: Service, ops: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            """
            INSERT INTO consumer_stop (consumer_group, kind, topic, partition, reason)
            VALUES ($1, 'lost', $2, 3, 'it is gone')
            """,
            service.name,
            ORDERS,
        )
        for state, count in (("poison", 2), ("parked", 3), ("discarded", 1)):
            await unit.sql.execute(
                """
                INSERT INTO dead_letter
                    (consumer_group, topic, partition, "offset", key, value, headers, state, reason, fingerprint)
                SELECT $1, $2, hashtext($3), n, 'k', '', '{}', $3, 'r', 'f' FROM generate_series(1, $4) AS n
                """,
                service.name,
                ORDERS,
                state,
                count,
            )
        await unit.sql.execute("INSERT INTO parked_key VALUES ($1, $2, 'k')", service.name, ORDERS)
    found = await group(ops, service.name)
    assert [found[name] for name in ("poison", "parked", "blocked", "held_keys")] == [2, 3, 0, 1]
    (stop,) = found["stopped"]
    assert (stop["kind"], stop["partition"], stop["reason"], stop["decision"]) == ("lost", 3, "it is gone", None)


async def fails(unit: object) -> None:
    raise ZeroDivisionError("again")


async def test_jobs_have_their_last_run_and_error(service: Service, ops: httpx.AsyncClient) -> None:
    await Jobs(service.database, [every(3600, fails)]).run_due()
    (job,) = (await shown(ops))["jobs"]
    assert (job["status"], job["every_seconds"], job["failures"]) == ("queued", 3600, 1)
    assert "again" in job["error"] and job["last_run"] and job["failed_at"] and job["next_run"]


async def test_outbox_has_its_depth_and_age(service: Service, ops: httpx.AsyncClient) -> None:
    await publish(service, *((placed(f"PO-{n}"), 1) for n in range(3)))
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE outbox_pending SET created_at = now() - interval '1 hour'")
    outbox = (await shown(ops))["outbox"]
    assert outbox["depth"] == 3 and 3600 <= outbox["age_seconds"] < 3700


async def test_routes_need_ops_read_and_no_partner(service: Service, clients: Clients) -> None:
    assert (await clients(service, None, ["ops:act"], subject="ann").get("/v1/operations")).status_code == 403
    assert (await clients(service, "acme", OPS).get("/v1/operations")).status_code == 200
    assert (await clients(service, None, OPS, subject="ann").get("/v1/operations?x=1")).status_code == 422


async def test_running_worker_stores_its_progress(
    kafka_service: Service, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "STORE_SECONDS", 0.1)
    service = kafka_service
    ops = clients(service, None, OPS, subject="ann")

    async def caught_up() -> bool:
        found = await group(ops, service.name)
        return found["lag"] == 0 and any(each["end"] for each in found["partitions"]) and found["seen_at"] is not None

    consumer = await from_now_on(service)
    async with running(relay(service), consumer):
        await publish(service, *((placed(f"PO-{n}"), 1) for n in range(50)))
        await eventually(lambda: all_published(service))
        await eventually(caught_up)
        assert (await shown(ops))["outbox"]["relay_runs"] is True
        (mine,) = [each for each in (await shown(ops))["groups"] if each["group"] == service.name]
        assert {each["topic"] for each in mine["partitions"]} == consumer.subscription.topics
    assert (await shown(ops))["outbox"]["relay_runs"] is False


async def test_service_without_consumers_answers_too(service: Service, clients: Clients) -> None:
    bare = replace(service, reactions=(), projections=(), reactions_start=None)
    assert (await shown(clients(bare, None, OPS, subject="ann")))["groups"] == []
