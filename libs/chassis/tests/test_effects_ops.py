"""Effects over HTTP, their gauges, and how long they are kept."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import toy
from prometheus_client import REGISTRY

from crossdock_chassis import Effect, Permanent, Schedule, Service
from crossdock_chassis import perform as performer
from crossdock_chassis.housekeeping.gauges import look_at_effects
from crossdock_chassis.housekeeping.retention import purge
from crossdock_chassis.roles import _worker
from crossdock_chassis.testing import OPS, Clients, Fresh, Perform, requested
from crossdock_local.servers import Servers

UNKNOWN = "01a218d8-c748-7589-8494-2a531fac55d0"


class Target:
    """Refuses until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.sent: list[str] = []

    async def send(self, effect: Effect) -> dict[str, object]:
        if not self.mended:
            raise Permanent("unknown template")
        self.sent.append(str(effect.id))
        return {"message_id": "m-1"}


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def service(service: Service, target: Target) -> Service:
    mail = performer("mail", target.send, describe=lambda payload: {"template": payload["template"]})
    return replace(service, effects=[mail, performer("webhook", target.send, retry=Schedule(max_attempts=1))])


@pytest.fixture
async def ops(service: Service, clients: Clients) -> AsyncIterator[httpx.AsyncClient]:
    yield clients(service, None, OPS, subject="ops")


async def request(service: Service, kind: str = "mail", target: str = "smtp", **payload: object) -> str:
    async with service.database.unit() as unit:
        return str(unit.effect(kind, target=target, payload={"to": "bob@example.org", **payload}))


async def test_an_effect_is_shown_without_its_payload(
    service: Service, perform: Perform, ops: httpx.AsyncClient
) -> None:
    mail = await request(service, template="delayed")
    other = await request(service, "webhook", "partner-7", secret="s")
    old = await request(service, body="of an older version")
    await perform(service)
    page = await ops.get("/v1/effects")
    assert "bob" not in page.text and "secret" not in page.text
    shown = {each["id"]: each for each in page.json()["items"]}
    assert shown[mail]["described"] == {"template": "delayed"}
    assert shown[other]["described"] is None and shown[old]["described"] is None
    one = (await ops.get(f"/v1/effects/{mail}")).json()
    assert one == shown[mail]
    assert (one["state"], one["reason"], one["attempts"]) == ("given_up", "unknown template", 1)
    assert (one["kind"], one["target"], one["result"], one["resolutions"]) == ("mail", "smtp", None, [])


async def test_lists_are_filtered_and_paged(service: Service, ops: httpx.AsyncClient, perform: Perform) -> None:
    ids = [await request(service, template="t") for _ in range(5)]
    await perform(service)
    waiting = await request(service, "webhook", "partner-7")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await ops.get(f"/v1/effects?state=given_up&limit=2{cursor}")).json()
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids
    for query in ("state=pending", "kind=webhook", "target=partner-7", "state=pending&kind=webhook&target=partner-7"):
        assert [each["id"] for each in (await ops.get(f"/v1/effects?{query}")).json()["items"]] == [waiting]
    assert (await ops.get("/v1/effects?kind=mail&target=partner-7")).json() == {"items": [], "next": None}


async def test_a_redrive_begins_anew_and_is_audited(
    service: Service, ops: httpx.AsyncClient, perform: Perform, target: Target
) -> None:
    id = await request(service, template="t")
    await perform(service)
    dry = (await ops.post(f"/v1/effects/{id}:redrive?dry_run=true", json={"reason": "try"})).json()
    assert dry == {"id": id, "kind": "mail", "target": "smtp", "state": "pending", "dry_run": True}
    assert (await ops.get(f"/v1/effects/{id}")).json()["state"] == "given_up"
    first = await ops.post(f"/v1/effects/{id}:redrive", json={"reason": "template deployed"})
    assert first.json() == {**dry, "dry_run": False}
    again = await ops.post(f"/v1/effects/{id}:redrive", json={"reason": "twice"})
    assert again.status_code == 409 and again.json()["type"].endswith("effect-not-resolvable")
    await perform(service)
    target.mended = True
    assert (await ops.post(f"/v1/effects/{id}:redrive", json={"reason": "now really"})).status_code == 200
    (done,) = await perform(service)
    assert (done.state, done.attempts, done.result, target.sent) == ("done", 1, {"message_id": "m-1"}, [id])
    audit = [(each.action, each.by, each.reason) for each in done.resolutions]
    by = "ops"
    assert audit == [("redrive", by, "template deployed"), ("redrive", by, "now really")]
    assert (await ops.post(f"/v1/effects/{id}:redrive", json={"reason": "done"})).status_code == 409


async def test_a_redriven_effect_goes_to_the_end_of_its_line(
    service: Service, ops: httpx.AsyncClient, perform: Perform, target: Target
) -> None:
    async with service.database.unit() as unit:
        first = str(unit.effect("webhook", target="p", payload={}, key="k"))
    await perform(service)
    async with service.database.unit() as unit:
        second = str(unit.effect("webhook", target="p", payload={}, key="k"))
    await ops.post(f"/v1/effects/{first}:redrive", json={"reason": "mended"})
    target.mended = True
    await perform(service)
    assert target.sent == [second, first]


@pytest.mark.parametrize("give_up", [True, False])
async def test_a_discarded_effect_is_never_performed(
    service: Service, ops: httpx.AsyncClient, perform: Perform, target: Target, give_up: bool
) -> None:
    id = await request(service, template="t")
    if give_up:
        await perform(service)
    done = await ops.post(f"/v1/effects/{id}:discard", json={"reason": "a test customer"})
    assert done.json()["state"] == "discarded"
    target.mended = True
    (discarded,) = await perform(service, hurry=True)
    assert discarded.state == "discarded" and discarded.finished_at is not None and target.sent == []
    for action in ("redrive", "discard"):
        assert (await ops.post(f"/v1/effects/{id}:{action}", json={"reason": "r"})).status_code == 409


async def test_an_effect_in_flight_cannot_be_discarded(service: Service, ops: httpx.AsyncClient) -> None:
    id = await request(service, template="t")
    lease = "UPDATE effect SET claimed_by = gen_random_uuid(), due_at = now() + make_interval(secs => $1)"
    async with service.database.unit() as unit:
        await unit.sql.execute(lease, 60.0)
    assert (await ops.get(f"/v1/effects/{id}")).json()["in_flight"] is True
    refused = await ops.post(f"/v1/effects/{id}:discard", json={"reason": "r"})
    assert refused.status_code == 409 and "in flight" in refused.json()["detail"]
    async with service.database.unit() as unit:
        await unit.sql.execute(lease, -1.0)
    assert (await ops.post(f"/v1/effects/{id}:discard", json={"reason": "r"})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/effects/nonsense", None, 422),
        ("GET", f"/v1/effects/{UNKNOWN}", None, 404),
        ("POST", f"/v1/effects/{UNKNOWN}:redrive", {"reason": "r"}, 404),
        ("POST", f"/v1/effects/{UNKNOWN}:discard", {}, 422),
        ("POST", f"/v1/effects/{UNKNOWN}:discard", {"reason": ""}, 422),
        ("POST", f"/v1/effects/{UNKNOWN}:discard", {"reason": "r", "by": "me"}, 422),
        ("GET", "/v1/effects?state=lost", None, 422),
        ("GET", "/v1/effects?kind=%00", None, 400),
        ("GET", "/v1/effects?kind=%0A", None, 422),
        ("POST", f"/v1/effects/{UNKNOWN}:discard", {"reason": "\0"}, 422),
        ("GET", "/v1/effects?target=%F0%9F%92%A9", None, 422),
        ("GET", f"/v1/effects?target={'x' * 256}", None, 422),
        ("GET", "/v1/effects?kind=", None, 422),
        ("GET", "/v1/effects?limit=0", None, 422),
        ("GET", "/v1/effects?limit=201", None, 422),
        ("GET", "/v1/effects?cursor=garbage", None, 400),
    ],
)
async def test_requests_that_make_no_sense_are_refused(
    ops: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    assert (await ops.request(method, path, json=body)).status_code == status


async def test_effects_need_the_scope_ops_and_a_performer(service: Service, clients: Clients) -> None:
    assert (await clients(service, "acme", ["orders:read"]).get("/v1/effects")).status_code == 403
    bare = replace(service, effects=[])
    assert (await clients(bare, None, OPS, subject="ops").get("/v1/effects")).status_code == 404


async def test_the_gauges_count_what_is_pending_and_given_up(service: Service, perform: Perform) -> None:
    def value(name: str, kind: str) -> float | None:
        return REGISTRY.get_sample_value(f"crossdock_effects_{name}", {"kind": kind})

    for _ in range(3):
        await request(service, template="t")
    await perform(service)
    for _ in range(2):
        await request(service, "webhook", "p")
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE effect SET pending_since = now() - interval '90 s' WHERE state = 'pending'")
        await unit.sql.execute(
            "UPDATE effect SET kind = 'of-a-newer-version' WHERE id = (SELECT max(id::text)::uuid FROM effect)"
        )
        await look_at_effects(unit)
    assert value("given_up", "mail") == 3 and value("pending", "mail") is None
    assert value("pending", "webhook") == 1 and value("pending", "of-a-newer-version") == 1
    assert 90 <= (value("oldest_seconds", "webhook") or 0) < 150
    async with service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM effect")
        await look_at_effects(unit)
    assert not any(value(name, "webhook") for name in ("pending", "oldest_seconds"))


async def test_a_worker_process_performs_effects_and_looks_after_them(
    fresh: Fresh, servers: Servers, target: Target, unused_tcp_port: int
) -> None:
    """The role itself, until SIGTERM."""
    assert servers.bootstrap is not None
    toys = await fresh(toy.build, toy.Settings, kafka=servers.bootstrap, ops_port=unused_tcp_port)
    service = replace(toys, effects=[performer("mail", target.send)], reactions=[], projections=[])
    target.mended = True
    id = await request(service, template="t")
    worker = asyncio.create_task(_worker(service))
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while id not in target.sent:
            await asyncio.sleep(0.05)
        while {row["state"] for row in await requested(service)} != {"done"}:
            await asyncio.sleep(0.05)
        assert (await client.get(f"http://127.0.0.1:{unused_tcp_port}/livez")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await worker


async def test_finished_effects_go_after_days_and_given_up_ones_stay(service: Service, ops: httpx.AsyncClient) -> None:
    ids = [await request(service, template="t") for _ in range(6)]
    lasting = ["done", "done", "given_up", "discarded", "discarded", "pending"]
    async with service.database.unit() as unit:
        for id, state, days in zip(ids, lasting, (31, 29, 400, 31, 29, 0), strict=True):
            await unit.sql.execute(
                "UPDATE effect SET state = $2, created_at = now() - interval '500 days', "
                "finished_at = CASE WHEN $2 <> 'pending' THEN now() - make_interval(days => $3) END WHERE id = $1",
                id,
                state,
                days,
            )
    await purge(service.database.unit)
    assert [str(row["id"]) for row in await requested(service)] == [ids[1], ids[2], ids[4], ids[5]]
    assert (await ops.post(f"/v1/effects/{ids[2]}:discard", json={"reason": "r"})).status_code == 200
    await purge(service.database.unit)
    assert ids[2] in {str(row["id"]) for row in await requested(service)}, "kept as long after it was resolved"
