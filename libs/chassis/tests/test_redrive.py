"""Resolve many dead letters in a job: large keys, whole fingerprints, stop, kill, early end, results."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import toy
from examples import placed
from test_blocked_keys import isolate, locked
from test_inbox import letters, take

from crossdock_chassis import Service, StoredJob, Unit, find_jobs, on
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.breaker import KEYS
from crossdock_chassis.messaging.dead_letters import CHUNK
from crossdock_chassis.redrive import UNTRIED
from crossdock_chassis.testing import OPS, Clients, RunJobs, envelope_of
from crossdock_events import Envelope
from crossdock_events.items import ItemRegistered
from crossdock_events.orders import OrderPlaced

CHILD = Path(__file__).with_name("redrive_child.py")
UNKNOWN = "01a218d8-c748-7589-8494-2a531fac55d0"
ORDER = UUID(int=7)
IN_ORDER = """
    INSERT INTO mark (name, times)
    SELECT name, n + (SELECT count(*) FROM mark) FROM unnest($1::text[]) WITH ORDINALITY AS new (name, n)
"""
TABLES = ("dead_letter", "dead_letter_result", "parked_key", "inbox", "mark", "outbox", "outbox_pending", "job")


@pytest.fixture
def mended(service: Service) -> Service:
    """The same database under a build without the bug. It stores the place of each mark in the order of handling."""

    async def mark(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await unit.sql.execute(IN_ORDER, [each.event.reference for each in batch])

    return replace(service, reactions=[on(OrderPlaced, mark)], projections=[])


@pytest.fixture
def ops(mended: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(mended, None, OPS, subject="ops")


def of_one_key(*references: str, first: int = 0) -> list[Record]:
    return [
        Record(envelope_of(placed(name, ORDER), sequence=n + 1).encode(), 0, n, 0.0)
        for n, name in enumerate(references, first)
    ]


async def park(service: Service, count: int) -> list[str]:
    """Park events behind a poison one. Return their references, the poison first."""
    names = ["poison", *(f"PO-{n:04}" for n in range(count))]
    first, *rest = of_one_key(*names)
    await take(service, [first], careful=True)
    await take(service, rest)
    return names


async def poison(service: Service, count: int, first: int = 0) -> list[str]:
    """Set events of several keys aside, by consumers that start anew, so that no breaker opens."""
    names = [f"poison-{n}" for n in range(first, first + count)]
    for start in range(0, count, KEYS - 1):
        batch = [
            Record(envelope_of(placed(name)).encode(), 0, int(name.removeprefix("poison-")), 0.0)
            for name in names[start : start + KEYS - 1]
        ]
        await take(service, batch, careful=True)
    return names


async def asked(client: httpx.AsyncClient, action: str = "redrive", *, dry_run: bool = False, **body: Any) -> Any:
    """Ask for many dead letters. Return the job, or the result of the dry run."""
    body = {"action": action, "reason": "bug 12 is fixed", "records_per_second": 1000, **body}
    answer = await client.post(f"/v1/dead-letters:resolve?dry_run={str(dry_run).lower()}", json=body)
    assert answer.status_code == (200 if dry_run else 202), answer.text
    assert dry_run or answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    return answer.json()


async def results(client: httpx.AsyncClient, job: str, **asked: Any) -> list[tuple[int, str, str | None]]:
    found: list[tuple[int, str, str | None]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get(f"/v1/dead-letters/results/{job}", params={**asked, **cursor})).json()
        found += [(each["id"], each["outcome"], each["reason"]) for each in page["items"]]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def show(service: Service, job: str) -> StoredJob:
    (found,) = await find_jobs(service.database, id=UUID(job))
    return found


async def in_order(service: Service) -> list[str]:
    marks = await toy.marks(service)
    return sorted(marks, key=lambda name: marks[name])


async def parked_keys(service: Service) -> int:
    async with service.database.unit() as unit:
        return int(await unit.sql.fetchval("SELECT count(*) FROM parked_key"))


async def resolutions(service: Service) -> list[str | None]:
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT resolution::text FROM dead_letter ORDER BY id")
    return [row["resolution"] for row in rows]


@asynccontextmanager
async def working(service: Service) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(Jobs(service.database, service.jobs, drain_seconds=4).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 30)


async def until(service: Service, job: str, status: str, done: int = 0) -> StoredJob:
    async with asyncio.timeout(60):
        while (found := await show(service, job)).status != status or found.done < done:
            await asyncio.sleep(0.05)
    return found


async def test_large_key_is_redriven_in_order_while_events_arrive(
    service: Service, mended: Service, ops: httpx.AsyncClient
) -> None:
    names = await park(service, 3000)
    job = (await asked(ops, records={"ids": [1]}))["id"]
    behind = handled = 0
    async with working(mended):
        async with asyncio.timeout(120):
            while not handled:
                before = await parked_keys(service)
                name = f"late-{len(names):05}"
                await take(mended, of_one_key(name, first=len(names)))
                names.append(name)
                behind += before
                handled = (await show(service, job)).status == "done"
        name = "last"
        await take(mended, of_one_key(name, first=len(names)))
    assert behind > 10, "events arrived while the job was at work"
    assert await in_order(service) == [*names, "last"]
    found = await show(service, job)
    assert found.result == {"applied": found.done} and found.total == found.done > 3000 + behind // 2
    assert await parked_keys(service) == 0 and {state for _, state in await letters(service)} == {"redriven"}
    assert {outcome for _, outcome, _ in await results(ops, job, limit=200)} == {"applied"}


async def test_single_redrive_of_a_large_key_queues_the_rest(
    service: Service, mended: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    names = await park(service, CHUNK + 30)
    dry = (await ops.post("/v1/dead-letters/1:redrive?dry_run=true", json={"reason": "try"})).json()
    assert (dry["applied"], dry["left"], dry["job"]) == (CHUNK, 31, None) and await find_jobs(service.database) == []
    done = (await ops.post("/v1/dead-letters/1:redrive", json={"reason": "bug 12 is fixed"})).json()
    assert (done["applied"], done["left"], done["failure"]) == (CHUNK, 31, None)
    (head,) = (await ops.get("/v1/dead-letters?state=poison")).json()["items"]
    assert head["id"] == CHUNK + 1 and head["reason"].startswith("the events before this one were redriven")
    (job,) = await run_jobs(mended)
    assert (str(job.id), job.status, job.done, job.requested_by) == (done["job"], "done", 31, "ops")
    assert await in_order(service) == names and await parked_keys(service) == 0
    first, second, *_, last = await resolutions(service)
    assert first == '{"action": "redrive"}'
    assert second == first.replace("}", ', "behind": 1}')
    assert last == first.replace("}", f', "behind": {CHUNK + 1}, "job": "{job.id}"}}')
    acted = (await ops.get("/v1/operator-actions")).json()["items"]
    assert [each["target"] for each in acted] == ["/v1/dead-letters/1", f"/v1/jobs/{job.id}"]
    assert {(each["who"], each["why"]) for each in acted} == {("ops", "bug 12 is fixed")}
    assert acted[0]["before"]["state"] == "poison"
    assert acted[0]["after"] == {"state": "redriven", "applied": CHUNK, "left": 31, "job": str(job.id)}


async def test_stopped_job_leaves_a_poison_head_and_resumes(
    service: Service, mended: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    names = await park(service, 40)
    job = (await asked(ops, "discard", records={"ids": [1]}, records_per_second=10))["id"]
    async with working(mended):
        await until(service, job, "running", done=10)
        assert (await ops.post(f"/v1/jobs/{job}:stop")).status_code == 200
        stopped = await until(service, job, "stopped")
    assert stopped.done < 41 and stopped.total == 41
    states = [state for _, state in await letters(service)]
    rest = 41 - stopped.done
    assert states == ["discarded", *["redriven"] * (stopped.done - 1), "poison", *["parked"] * (rest - 1)]
    assert (await ops.post(f"/v1/jobs/{job}:resume")).status_code == 200
    (done,) = await run_jobs(mended)
    assert (done.status, done.result) == ("done", {"applied": 40, "discarded": 1})
    assert await in_order(service) == names[1:] and await parked_keys(service) == 0


async def test_killed_job_goes_on_from_its_last_chunk(
    service: Service, mended: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    names = await park(service, 50)
    job = (await asked(ops, records={"ids": [1]}, records_per_second=20))["id"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), service.database.dsn, "PO-0030", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"in the chunk\n"
    process.kill()
    await process.communicate()
    assert (await show(service, job)).done == 20 == len(await toy.marks(service))
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET due_at = now(); DELETE FROM mark")
    (done,) = await run_jobs(mended)
    assert (done.status, done.result) == ("done", {"applied": 51})
    assert await in_order(service) == names[20:] and await parked_keys(service) == 0


async def test_whole_fingerprint_in_two_groups(service: Service, ops: httpx.AsyncClient, clients: Clients) -> None:
    """The same cut records are in both groups. A filter by group leaves the other group alone."""
    both = clients(service, None, OPS, subject="ops")
    item = ItemRegistered(item_id="A", unit_of_measure="each", category=None, status="active")
    for kind, event in (("reaction", placed("PO-1")), ("projection", item)):
        message = envelope_of(event).encode()
        cut = [replace(message, value=b"{", key=f"{n}".encode()) for n in range(3)]
        await take(service, [Record(each, 0, n, 0.0) for n, each in enumerate(cut)], kind, careful=True)
    (sample, *_) = (await both.get("/v1/dead-letters")).json()["items"]
    alike = {"fingerprint": sample["fingerprint"]}
    counted = await asked(both, "discard", dry_run=True, records=alike)
    assert (counted["records"], counted["keys"], counted["waiting"]) == (6, 6, 0)
    one = (await asked(both, "discard", records={**alike, "group": "toy-service"}))["id"]
    await Jobs(service.database, service.jobs).run_due()
    assert (await show(service, one)).result == {"discarded": 3}
    all_of_them = (await asked(both, "discard", records=alike))["id"]
    await take(service, [Record(replace(message, value=b"{", key=b"9"), 0, 9, 0.0)], "projection", careful=True)
    await Jobs(service.database, service.jobs).run_due()
    assert (await show(service, all_of_them)).result == {"discarded": 3}
    (new,) = (await both.get("/v1/dead-letters?state=poison")).json()["items"]
    assert new["offset"] == 9, "it is newer than the request"


async def test_resend_corrects_a_header_of_many(
    service: Service, mended: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    messages = [envelope_of(placed(f"PO-{n}")).encode() for n in range(3)]
    untyped = [replace(each, headers={**each.headers, "ce_type": b""}) for each in messages]
    await take(service, [Record(each, 0, n, 0.0) for n, each in enumerate(untyped)], careful=True)
    mistyped = {"ce_type": "crossdock.OrderPlacd.v1"}
    wrong = (await asked(ops, "resend", records={"ids": [1, 2, 3]}, headers=mistyped))["id"]
    right = (await asked(ops, "resend", records={"ids": [1, 2, 3]}, headers={"ce_type": OrderPlaced.ce_type}))["id"]
    await run_jobs(mended)
    assert (await show(service, wrong)).result == {"still-poison": 3}
    assert (await show(service, right)).result == {"applied": 3}
    assert sorted(await toy.marks(service)) == ["PO-0", "PO-1", "PO-2"]


async def test_job_ends_early_if_record_after_record_fails(
    service: Service, mended: Service, ops: httpx.AsyncClient, clients: Clients, run_jobs: RunJobs
) -> None:
    await poison(service, 3 * KEYS)
    faulty = clients(service, None, OPS, subject="ops")
    (sample,) = (await faulty.get("/v1/dead-letters?limit=1")).json()["items"]
    alike = {"fingerprint": sample["fingerprint"]}
    job = (await asked(faulty, records=alike))["id"]
    for tried in (KEYS, 2 * KEYS):
        (ended,) = await run_jobs(service)
        assert (ended.status, ended.done, ended.total) == ("failed", tried, 3 * KEYS)
        assert ended.error is not None and f"{KEYS} of the last" in ended.error and "Poisonous" in ended.error
        found = await results(faulty, job, outcome="still-poison", limit=7)
        assert [id for id, _, _ in found] == list(range(1, tried + 1)) and found[0][2] == "Poisonous: poison-0"
        await ops.post(f"/v1/jobs/{job}:resume")
    again = (await asked(ops, records=alike))["id"]
    await run_jobs(mended)
    assert (await show(service, job)).result == {"applied": KEYS, "still-poison": 2 * KEYS}
    assert (await show(service, again)).result == {"applied": 2 * KEYS}
    assert len(await toy.marks(service)) == 3 * KEYS


async def test_record_that_ends_its_transaction_stops_no_other(
    service: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    async def mark(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        if any(each.event.reference == "poison-1" for each in batch):
            await unit.sql.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await unit.sql.execute(IN_ORDER, [each.event.reference for each in batch])

    fatal = replace(service, reactions=[on(OrderPlaced, mark)], projections=[])
    await poison(service, 3)
    await asked(ops, records={"ids": [1, 2, 3]})
    runs = 0
    while (job := (await run_jobs(fatal))[0]).status == "queued":
        assert job.error is not None and "Connection" in job.error
        runs += 1
        async with service.database.unit() as unit:
            await unit.sql.execute("UPDATE job SET due_at = now()")
    assert (job.status, job.result, runs) == ("done", {"applied": 2, "still-poison": 1}, UNTRIED)
    assert (await results(ops, str(job.id)))[1] == (
        2,
        "still-poison",
        f"not tried: its transaction failed {UNTRIED} times",
    )
    assert await in_order(service) == ["poison-0", "poison-2"]


async def test_dry_run_counts_and_changes_nothing(service: Service, mended: Service, ops: httpx.AsyncClient) -> None:
    async def contents() -> list[list[str]]:
        async with service.database.unit() as unit:
            return [[str(row) for row in await unit.sql.fetch(f"SELECT * FROM {name}")] for name in TABLES]

    await park(service, 5)
    await poison(service, 25, first=100)
    (first, *_) = (await ops.get("/v1/dead-letters")).json()["items"]
    before = await contents()
    tried = await asked(ops, dry_run=True, records={"fingerprint": first["fingerprint"]})
    assert (tried["records"], tried["keys"], tried["waiting"], len(tried["attempts"])) == (26, 26, 5, 20)
    assert tried["attempts"][0] == {
        "id": 1,
        "outcome": "applied",
        "reason": None,
        "applied": 6,
        "left": 0,
        "failure": None,
        "published": [],
    }
    skipped = (await asked(ops, "discard", dry_run=True, records={"ids": [2]}))["attempts"]
    assert skipped[0]["outcome"] == "skipped" and "parked" in skipped[0]["reason"]
    assert await contents() == before


async def test_listed_records_have_a_result_each(
    service: Service, mended: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    """Somebody else has resolved a record after the request, and the row of another order is locked."""
    await park(service, 2)
    await poison(service, 3, first=10)
    async with locked(service, "stuck"):
        await isolate(service, Record(envelope_of(placed("stuck")).encode(), 0, 20, 0.0))
    body = {"action": "redrive", "reason": "bug 12", "records": {"ids": [99, 4, 5, 6, 7, 1, 2]}}
    key = {"Idempotency-Key": "redrive-1"}
    first = await ops.post("/v1/dead-letters:resolve", json=body, headers=key)
    again = await ops.post("/v1/dead-letters:resolve", json=body, headers=key)
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    assert (await ops.post("/v1/dead-letters/5:discard", json={"reason": "a test order"})).status_code == 200
    async with locked(service, "poison-10"):
        (job,) = await run_jobs(mended)
    assert job.status == "done" and job.total == job.done == 8
    found = await results(ops, str(job.id), limit=2)
    assert [(id, outcome) for id, outcome, _ in found] == [
        (1, "applied"),
        (2, "applied"),
        (3, "applied"),
        (4, "still-poison"),
        (5, "skipped"),
        (6, "applied"),
        (7, "skipped"),
        (99, "skipped"),
    ]
    assert [reason and reason.partition(":")[0] for *_, reason in found[3:]] == [
        "LockNotAvailableError",
        "The dead letter is discarded",
        None,
        "The dead letter is blocked",
        "No dead letter has this id",
    ]
    (asked_again,) = (await ops.get("/v1/operator-actions?action=dead-letters:resolve")).json()["items"]
    assert (asked_again["target"], asked_again["why"]) == (f"/v1/jobs/{job.id}", "bug 12")
    assert asked_again["after"]["records"] == body["records"]


BAD: list[dict[str, Any]] = [
    {"records": {"ids": []}},
    {"records": {"ids": [0]}},
    {"records": {"ids": ["1"]}},
    {"records": {"ids": [1] * 501}},
    {"records": {}},
    {"records": {"ids": [1], "fingerprint": "abcdefabcdef"}},
    {"records": {"fingerprint": "ABC"}},
    {"records": {"fingerprint": "abcdefabcdef", "group": "\0"}},
    {"action": "resend"},
    {"action": "resend", "headers": {}},
    {"action": "resend", "headers": {"ce_id": "one id for many"}},
    {"headers": {"ce_type": "of a redrive"}},
    {"action": "delete"},
    {"reason": ""},
    {"records_per_second": 0},
    {"records_per_second": 1001},
    {"dry_run": True},
]


async def test_requests_that_are_not_meant_for_many_are_refused(
    service: Service, ops: httpx.AsyncClient, clients: Clients
) -> None:
    good = {"action": "redrive", "reason": "r", "records": {"ids": [1]}}
    for bad in BAD:
        answer = await ops.post("/v1/dead-letters:resolve", json={**good, **bad})
        assert answer.status_code == 422, (bad, answer.text)
    other = clients(service, "acme", ["orders:write"])
    assert (await other.post("/v1/dead-letters:resolve", json=good)).status_code == 403
    assert (await other.get(f"/v1/dead-letters/results/{UNKNOWN}")).status_code == 403
    assert (await ops.get(f"/v1/dead-letters/results/{UNKNOWN}")).json()["type"] == "urn:crossdock:problem:no-such-job"
    assert await find_jobs(service.database) == []
