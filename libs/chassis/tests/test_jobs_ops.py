"""Jobs over HTTP, their gauges, and a hanging job in the role `worker`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
import toy
from jobs_child import load
from prometheus_client import REGISTRY

from crossdock_chassis import Feature, JobRun, Service, Unit, every, queued, roles
from crossdock_chassis import worker as parts
from crossdock_chassis.housekeeping.gauges import look_at_jobs
from crossdock_chassis.jobs import worker as jobs
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.testing import OPS, Clients, Fresh, RunJobs
from crossdock_local.servers import Servers

UNKNOWN = "01a218d8-c748-7589-8494-2a531fac55d0"
LOAD = queued("load", load)


@pytest.fixture
def service(service: Service) -> Service:
    return replace(service, features=[Feature(jobs=[LOAD])])


@pytest.fixture
async def ops(service: Service, clients: Clients) -> AsyncIterator[httpx.AsyncClient]:
    yield clients(service, None, OPS, subject="ops")


async def request(service: Service, rows: int = 3) -> UUID:
    async with service.database.unit() as unit:
        return await LOAD.request(unit, {"rows": rows}, by="ada")


async def test_a_job_is_shown_with_its_progress(service: Service, ops: httpx.AsyncClient, run_jobs: RunJobs) -> None:
    id = await request(service)
    waiting = (await ops.get(f"/v1/jobs/{id}")).json()
    assert (waiting["status"], waiting["arguments"], waiting["requested_by"]) == ("queued", {"rows": 3}, "ada")
    (done,) = await run_jobs(service)
    shown = (await ops.get(f"/v1/jobs/{id}")).json()
    assert (shown["status"], shown["done"], shown["total"], shown["result"]) == ("done", 3, 3, {"loaded": 3})
    assert shown["finished_at"] is not None and shown["next_run"] is None and done.id == id


async def test_jobs_are_listed_by_kind_and_status(service: Service, ops: httpx.AsyncClient) -> None:
    async def tick(unit: Unit) -> None: ...

    ids = [str(await request(service)) for _ in range(3)]
    await Jobs(service.database, [every(60, tick)]).run_due()
    first = (await ops.get("/v1/jobs?kind=load&limit=2")).json()
    rest = (await ops.get(f"/v1/jobs?kind=load&limit=2&cursor={first['next']}")).json()
    assert [each["id"] for each in first["items"] + rest["items"]] == ids and rest["next"] is None
    (clock,) = (await ops.get(f"/v1/jobs?kind={every(60, tick).name}")).json()["items"]
    assert clock["every_seconds"] == 60 and clock["next_run"] is not None and clock["started_at"] is not None
    assert (await ops.get("/v1/jobs?status=running")).json() == {"items": [], "next": None}


async def test_only_work_that_has_not_ended_is_stopped(
    service: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    async def tick(unit: Unit) -> None: ...

    id = await request(service)
    for _ in range(2):
        stopped = await ops.post(f"/v1/jobs/{id}:stop")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "stopped")
    assert stopped.json()["stop_requested_by"] == "ops"
    done = await request(service)
    await run_jobs(service)
    await Jobs(service.database, [every(60, tick)]).run_due()
    (clock,) = (await ops.get(f"/v1/jobs?kind={every(60, tick).name}")).json()["items"]
    for other in (done, clock["id"]):
        assert (await ops.post(f"/v1/jobs/{other}:stop")).status_code == 409
    assert (await ops.post(f"/v1/jobs/{UNKNOWN}:stop")).status_code == 404
    assert (await ops.get(f"/v1/jobs/{UNKNOWN}")).status_code == 404


async def test_stopped_and_failed_work_goes_on_when_resumed(
    service: Service, ops: httpx.AsyncClient, run_jobs: RunJobs
) -> None:
    id = await request(service)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET done = 1, state = '{\"next\": 1}'")
    for status in ("stopped", "failed"):
        await ops.post(f"/v1/jobs/{id}:stop")
        async with service.database.unit() as unit:
            await unit.sql.execute("UPDATE job SET status = $1, failures = 9", status)
        resumed = (await ops.post(f"/v1/jobs/{id}:resume")).json()
        assert (resumed["status"], resumed["failures"], resumed["resumed_by"]) == ("queued", 0, "ops")
        assert resumed["stop_requested_at"] is None and resumed["finished_at"] is None
        again = await ops.post(f"/v1/jobs/{id}:resume")
        assert (again.status_code, again.json()["detail"]) == (409, "it is queued")
    (done,) = await run_jobs(service)
    assert (done.status, done.done) == ("done", 3)
    assert "row 0" not in await toy.marks(service), "it went on after its last committed unit"
    assert (await ops.post(f"/v1/jobs/{id}:resume")).status_code == 409
    assert (await ops.post(f"/v1/jobs/{UNKNOWN}:resume")).status_code == 404


async def test_jobs_need_the_scope_ops(service: Service, clients: Clients) -> None:
    other = clients(service, "acme", ["orders:read"])
    for path in ("", f"/{UNKNOWN}"):
        assert (await other.get(f"/v1/jobs{path}")).status_code == 403
    for verb in ("stop", "resume"):
        assert (await other.post(f"/v1/jobs/{UNKNOWN}:{verb}")).status_code == 403


async def test_gauges_show_waiting_overdue_and_failing_jobs(service: Service) -> None:
    def value(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"crossdock_{name}", {"job": "load"})

    for _ in range(2):
        await request(service)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET due_at = now() - interval '90 s', failures = 4")
        await look_at_jobs(unit)
    assert value("jobs_waiting") == 2 and value("job_failures") == 4
    assert 90 <= (value("job_overdue_seconds") or 0) < 150
    async with service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM job")
        await look_at_jobs(unit)
    assert value("jobs_waiting") is None


async def test_a_hanging_job_fails_livez(
    fresh: Fresh, servers: Servers, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role itself. Without the long interval the worker would end before its `/livez` is read."""
    assert servers.bootstrap is not None
    began = asyncio.Event()

    async def hang(run: JobRun) -> None:
        began.set()
        await asyncio.Event().wait()

    own = {"kafka": servers.bootstrap, "ops_port": unused_tcp_port, "drain_seconds": 1}
    toys = await fresh(toy.build, toy.Settings, **own)
    service = replace(toys, features=[Feature(jobs=[queued("load", hang)])], reactions=[], projections=[])
    await request(service)
    monkeypatch.setattr(parts, "WATCH_SECONDS", 600)
    role = asyncio.create_task(roles._worker(service))
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        await began.wait()
        livez = f"http://127.0.0.1:{unused_tcp_port}/livez"
        assert (await client.get(livez)).status_code == 200
        for module in (roles, jobs):
            monkeypatch.setattr(module, "PROGRESS_SECONDS", 2.0)
        while "load" not in (answer := await client.get(livez)).text:
            await asyncio.sleep(0.05)
        assert answer.status_code == 503
        os.kill(os.getpid(), signal.SIGTERM)
        await role
