import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from math import inf

import asyncpg
import httpx
import pytest
from examples import placed
from on_kafka import eventually, running
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from crossdock_chassis import (
    Coalescer,
    Database,
    Feature,
    JobRun,
    Overloaded,
    Service,
    Unit,
    each,
    queued,
    roles,
    worker,
)
from crossdock_chassis.feature import Part
from crossdock_chassis.http.limits import Limits
from crossdock_chassis.jobs import worker as jobs_worker
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging import retries
from crossdock_chassis.messaging.retries import Retries
from crossdock_chassis.projections import worker as projections_worker
from crossdock_chassis.projections.worker import Projections
from crossdock_chassis.roles import ROLES, Watch
from crossdock_chassis.worker import NoProgress, PartEnded, run_parts


class Working:
    def __init__(self, work: Callable[[asyncio.Event], Awaitable[object]]) -> None:
        self.progressed = time.monotonic()
        self._work = work

    async def run(self, stopping: asyncio.Event) -> None:
        await self._work(stopping)


def patient() -> Working:
    return Working(lambda stopping: stopping.wait())


async def run(*parts: Working, stuck: Callable[[], str | None] = lambda: None, drain_seconds: float = 5) -> None:
    named = {f"part {number}": part for number, part in enumerate(parts, 1)}
    async with asyncio.timeout(10):
        await run_parts(named, asyncio.Event(), stuck, drain_seconds=drain_seconds)


async def test_a_part_that_ends_by_itself_ends_the_worker() -> None:
    async def ends(_: asyncio.Event) -> None:
        return None

    with pytest.raises(PartEnded, match="part 2 ended by itself"):
        await run(patient(), Working(ends))


async def test_a_cancelled_part_ends_the_worker() -> None:
    async def cancelled(_: asyncio.Event) -> None:
        raise asyncio.CancelledError

    with pytest.raises(PartEnded, match="part 2 was cancelled"):
        await run(patient(), Working(cancelled))


async def test_the_error_of_a_part_ends_the_worker() -> None:
    async def fails(_: asyncio.Event) -> None:
        raise ValueError("out of order")

    with pytest.raises(ValueError, match="out of order"):
        await run(patient(), Working(fails))


async def test_a_hanging_part_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0.01)
    with pytest.raises(NoProgress, match="no progress: relay"):
        await run(patient(), stuck=lambda: "no progress: relay")


async def test_a_part_that_ignores_the_stop_is_abandoned() -> None:
    ended = asyncio.Event()

    async def stubborn(_: asyncio.Event) -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue

    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        await run_parts({"stubborn": Working(stubborn), "patient": patient()}, stop, lambda: None, drain_seconds=0.05)
    ended.set()


async def test_hanging_look_at_the_outbox_is_abandoned(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    """The look after it measures again: a watch that waits for ever would let the API take orders without a limit."""
    monkeypatch.setattr(roles, "LOOK_LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(roles, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(roles, "IDLE_SECONDS", 0.01)
    looks, enough = 0, asyncio.Event()

    async def hangs() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            enough.set()
        await asyncio.Event().wait()

    watch, stop = Watch(service, hangs), asyncio.Event()
    began = watch.progressed
    watching = asyncio.create_task(watch.run(stop))
    async with asyncio.timeout(10):
        await enough.wait()
        stop.set()
        await watching
    assert watch.progressed > began


PARTS: dict[str, Callable[[Service], Part]] = {
    "outbox watch": lambda service: Watch(service, Limits(service.database).refresh),
    "retries": lambda service: Retries(service.database, [*service.inboxes().values()]),
    "projections": lambda service: Projections(service.database, service.settings.broker, service.name, []),
    "jobs": lambda service: Jobs(service.database, [queued("nothing", no_work)]),
}


async def no_work(run: JobRun) -> None:
    return None


@pytest.mark.parametrize("name", PARTS)
async def test_idle_part_looks_without_a_transaction_block(
    service: Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A service is idle for most of its life. BEGIN and COMMIT would triple the round trips of each look."""
    monkeypatch.setattr(roles, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(roles, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(retries, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(retries, "REST_SECONDS", 0.01)
    monkeypatch.setattr(projections_worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(projections_worker, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(jobs_worker, "POLL_SECONDS", 0.01)
    looks, fetch, transaction = 0, Database.fetch, Database._transaction
    blocks: list[str] = []

    async def look(self: Database, statement: str, *values: object) -> list[asyncpg.Record]:
        nonlocal looks
        looks += 1
        return await fetch(self, statement, *values)

    def block(self: Database, begin: str) -> AbstractAsyncContextManager[tuple[AsyncConnection, asyncpg.Connection]]:
        blocks.append(begin)
        return transaction(self, begin)

    monkeypatch.setattr(Database, "fetch", look)
    monkeypatch.setattr(Database, "_transaction", block)
    async with running(PARTS[name](service)), asyncio.timeout(20):
        while looks < 10 and not blocks:
            await asyncio.sleep(0.01)
    assert not blocks


async def test_readiness_is_refused_while_the_parts_drain() -> None:
    """A part that ends only once it is refused would be abandoned otherwise."""
    refused, ended = asyncio.Event(), asyncio.Event()

    async def drains(stopping: asyncio.Event) -> None:
        await stopping.wait()
        await refused.wait()
        ended.set()

    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(10):
        await run_parts({"part": Working(drains)}, stop, lambda: None, drain_seconds=1, draining=refused.set)
    assert ended.is_set()


class Accepted(BaseModel):
    pass


@pytest.mark.parametrize("kind", ["unit", "optimistic"])
async def test_watch_sheds_commands_while_the_outbox_is_deep(
    monkeypatch: pytest.MonkeyPatch, service: Service, kind: str
) -> None:
    """An idle watch sleeps until the process publishes. Then it looks as often as ever."""
    monkeypatch.setattr(roles, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(roles, "IDLE_SECONDS", 3_600.0)

    async def accept(unit: Unit, command: Accepted) -> Accepted:
        return command

    send = Coalescer(service.database, each(accept), Accepted)
    limited = replace(service, settings=service.settings.model_copy(update={"outbox_depth_limit": 2}))

    async def sheds() -> bool:
        try:
            await send(Accepted())
        except Overloaded:
            return True
        return False

    async def accepts() -> bool:
        return not await sheds()

    watch = Watch(limited)
    began = watch.progressed

    async def looked() -> bool:
        return watch.progressed > began

    async with running(watch):
        await eventually(looked)
        async with getattr(service.database, kind)() as unit:
            for _ in range(3):
                unit.publish(placed(), sequence=1, cause=None)
        await eventually(sheds)
        async with service.database.unit() as unit:
            await unit.sql.execute("DELETE FROM outbox_pending")
        await eventually(accepts)


class Hanging:
    """A relay that makes no progress from some time on."""

    def __init__(self, *_: object) -> None:
        self.hangs = asyncio.Event()

    @property
    def progressed(self) -> float:
        return -inf if self.hangs.is_set() else time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        await stopping.wait()


@pytest.mark.parametrize(("role", "watched"), [("worker", False), ("worker", True), ("all", False), ("all", True)])
async def test_livez_of_a_worker_names_the_part_that_hangs(
    kafka_service: Service,
    monkeypatch: pytest.MonkeyPatch,
    unused_tcp_port_factory: Callable[[], int],
    role: str,
    watched: bool,
) -> None:
    """It also ends by itself, unless the look at its parts is far away."""
    relay = Hanging()
    monkeypatch.setattr(roles, "Relay", lambda *_: relay)
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0.01 if watched else 600.0)
    ports = {"http_port": unused_tcp_port_factory(), "ops_port": unused_tcp_port_factory()}
    settings = kafka_service.settings.model_copy(update=ports)
    working = asyncio.create_task(ROLES[role](replace(kafka_service, settings=settings)))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['ops_port']}", trust_env=False) as client:

        async def live() -> bool:
            try:
                return (await client.get("/livez")).status_code == 200
            except httpx.TransportError:
                return False

        async def refused() -> bool:
            return not await live()

        await eventually(live)
        relay.hangs.set()
        if watched:
            with pytest.raises(NoProgress, match="relay"):
                await asyncio.wait_for(working, 30)
        else:
            await eventually(refused)  # of `all`, the parts of the worker begin after the ports listen
            answer = await client.get("/livez")
            assert (answer.status_code, answer.json().get("reason")) == (503, "no progress: relay")
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(working, 30)


class Computes:
    """A part of a runner that ends once it is stopped."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    @property
    def progressed(self) -> float:
        return time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        self.began.set()
        await stopping.wait()


def listening(service: Service, port: Callable[[], int], *features: Feature) -> Service:
    ports = {"http_port": port(), "ops_port": port()}
    return replace(service, settings=service.settings.model_copy(update=ports), features=features)


@pytest.mark.parametrize("role", ["runner", "all"])
async def test_process_runs_what_computes_without_kafka(
    service: Service, unused_tcp_port_factory: Callable[[], int], role: str
) -> None:
    """The settings of this service name no broker. A runner is ready, and ends with SIGTERM."""
    computes = Computes()
    running = listening(service, unused_tcp_port_factory, Feature(computing={"computes": computes}))
    process = asyncio.create_task(ROLES[role](running))
    ops = f"http://127.0.0.1:{running.settings.ops_port}"
    async with asyncio.timeout(30), httpx.AsyncClient(base_url=ops, trust_env=False) as client:
        await computes.began.wait()

        async def ready() -> bool:
            assert not process.done()
            try:
                return {(await client.get(path)).status_code for path in ("/livez", "/readyz", "/metrics")} == {200}
            except httpx.TransportError:
                return False

        await eventually(ready)
        os.kill(os.getpid(), signal.SIGTERM)
        await process


async def test_runner_ends_with_the_part_that_hangs(
    service: Service, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0.01)
    hanging = Hanging()
    hanging.hangs.set()
    with pytest.raises(NoProgress, match="computes"):
        await roles._runner(listening(service, unused_tcp_port_factory, Feature(computing={"computes": hanging})))


async def test_service_that_computes_nothing_has_no_runner(service: Service) -> None:
    with pytest.raises(SystemExit, match="toy-service has nothing to compute"):
        await roles._runner(service)


@pytest.mark.parametrize("role", ["api", "worker", "runner", "all"])
async def test_running_process_measures_the_outbox(
    kafka_service: Service, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int], role: str
) -> None:
    """Without the measurement an API would accept commands while the outbox grows without a limit."""
    monkeypatch.setattr(roles, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(roles, "Relay", Hanging)
    async with kafka_service.database.unit() as unit:
        for _ in range(3):
            unit.publish(placed(), sequence=1, cause=None)
    running = listening(kafka_service, unused_tcp_port_factory, Feature(computing={"computes": Computes()}))
    process = asyncio.create_task(ROLES[role](running))

    async def measured() -> bool:
        assert not process.done()
        return kafka_service.database.pressure.outbox_depth == 3

    await eventually(measured)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(process, 30)
