"""kill -9 of a runner: the run goes on with another one, to the same bytes, and publishes each forecast once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import runner_child
from running import computed, ended, events, forecasts, leases_end, requested, sold

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Fresh, Violations
from forecast_service.runs import store
from forecast_service.runs.store import LeaseLost
from forecast_service.service import Settings, build

ITEMS: dict[str, str | None] = {f"item-{n:02}": "fails" if n == 17 else None for n in range(40)}
SCOPES = ("forecasts:read", "forecasts:write")
UNINTERRUPTED: list[dict[str, Any]] = []


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """With small chunks."""
    return await fresh(build, Settings, chunk_series=8)


@pytest.fixture
async def uninterrupted(fresh: Fresh, clients: Clients, deliver: Deliver) -> list[dict[str, Any]]:
    """Return the forecasts of a run that nothing interrupts, in a database of its own. It is made once."""
    if UNINTERRUPTED:
        return UNINTERRUPTED
    service = await fresh(build, Settings, chunk_series=8)
    client = clients(service, scopes=SCOPES)
    await sold(service, deliver, ITEMS)
    run = await computed(service, client, await requested(client))
    UNINTERRUPTED.extend(await forecasts(service, run["id"]))
    return UNINTERRUPTED


@asynccontextmanager
async def child(service: Service, *seam: str) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = (str(Path(runner_child.__file__)), service.database.dsn, *seam)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.communicate(), 20)


@pytest.mark.parametrize("seam", ["claimed", "computed", "recorded"])
async def test_killed_runner_changes_no_byte(
    service: Service,
    client: httpx.AsyncClient,
    deliver: Deliver,
    violations: Violations,
    uninterrupted: list[dict[str, Any]],
    seam: str,
) -> None:
    await sold(service, deliver, ITEMS)
    run = await requested(client)
    async with child(service, seam) as killed:
        assert killed.stdout is not None
        assert await asyncio.wait_for(killed.stdout.readline(), 60) == f"{seam}\n".encode()
        async with child(service):
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
            await leases_end(service)
            done = await ended(client, run["id"])
    assert (done["state"], done["done"], done["failed"]) == ("done", 40, 1)
    assert await forecasts(service, run["id"]) == uninterrupted
    assert await events(service) == dict.fromkeys(ITEMS, 1)
    assert not {title for title in await violations(service) if "run" in title}


async def test_results_of_a_lost_lease_are_refused(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    """A runner that was suspended comes back after another one has finished its chunk."""
    await sold(service, deliver, ITEMS)
    run = await requested(client)
    async with child(service, "computed") as suspended:
        assert suspended.stdout is not None
        await asyncio.wait_for(suspended.stdout.readline(), 60)
        suspended.send_signal(signal.SIGSTOP)
        await leases_end(service)
        async with child(service):
            await ended(client, run["id"])
        before = await forecasts(service, run["id"])
        suspended.send_signal(signal.SIGCONT)
        suspended.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(suspended.wait(), 60) == 0
    assert await forecasts(service, run["id"]) == before
    assert await events(service) == dict.fromkeys(ITEMS, 1)


async def test_chunk_belongs_to_the_last_runner_that_claimed_it(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, {"a": None})
    await requested(client)
    first = await store.claim(service.database)
    assert first is not None and await store.claim(service.database) is None
    await leases_end(service)
    second = await store.claim(service.database)
    assert second is not None
    assert [await store.extend(service.database, each) for each in (first, second)] == [False, True]
    with pytest.raises(LeaseLost):
        async with service.database.unit() as unit:
            await store.finish(unit, first, "done")
    async with service.database.unit() as unit:
        await store.finish(unit, second, "done")


async def test_stopped_runner_gives_its_chunk_back_at_once(
    service: Service, client: httpx.AsyncClient, deliver: Deliver
) -> None:
    await sold(service, deliver, ITEMS)
    run = await requested(client)
    async with child(service, "computed") as stopped:
        assert stopped.stdout is not None
        await asyncio.wait_for(stopped.stdout.readline(), 60)
        stopped.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(stopped.wait(), 60) == 0
    async with service.database.unit() as unit:
        left = await unit.sql.fetch("SELECT leased_by, attempts FROM run_chunks WHERE state = 'open'")
    assert {(row["leased_by"], row["attempts"]) for row in left} == {(None, 0)}
    assert (await computed(service, client, run))["state"] == "done"
