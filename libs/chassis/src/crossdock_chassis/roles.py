"""The processes that run a service: one role each, or `all` of them for a small machine."""

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TypeVar

import uvloop

from crossdock_chassis import server
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database
from crossdock_chassis.database.unwritable import NAME_THE_PRIMARY, READ_ONLY, unwritable
from crossdock_chassis.deadlines import (
    PROGRESS_SECONDS,
    Interrupted,
    abandon,
    foreign_cancellation_is_an_error,
    within,
)
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.feature import Part, merged
from crossdock_chassis.housekeeping import gauges, partitions, retention
from crossdock_chassis.http.limits import Limits
from crossdock_chassis.jobs.declare import Job, every_in_units, measured
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.log import LogReader
from crossdock_chassis.messaging.relay import Relay
from crossdock_chassis.messaging.retries import Retries
from crossdock_chassis.observability import logging as logs
from crossdock_chassis.observability import tracing
from crossdock_chassis.projections import retired
from crossdock_chassis.projections.worker import Projections
from crossdock_chassis.service import Service
from crossdock_chassis.settings import Settings, load
from crossdock_chassis.unfit import Unfit
from crossdock_chassis.worker import Endless, run_parts

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)

LOOK_SECONDS = 1.0
IDLE_SECONDS = 4.0
GAUGE_SECONDS = 15.0
"""The interval of gauges that need several statements. Prometheus reads them about as often."""
LOOK_LIMIT_SECONDS = 60.0
KAFKA_PAUSE_SECONDS = 2.0
"""The pause of the role `all` after Kafka did not answer. Its API serves meanwhile."""
CLOSE_SECONDS = 5.0
START_SECONDS = 20.0
TEMPORARY_BYTES = 1 << 20
EXIT_SECONDS = 10.0


def _ready(service: Service) -> Callable[[], Awaitable[str | None]]:
    fit = service.fit()

    async def ready() -> str | None:
        await fit.check()
        async with service.database.unit() as unit:
            if await unit.sql.fetchval(READ_ONLY):
                return f"the database {service.database.name} is read-only: {NAME_THE_PRIMARY}"
        return service.database.changes.refused

    return ready


def _check_temporary_files() -> None:
    """Raise Unfit if no temporary file can be written: imports and computations would fail in the middle."""
    try:
        with TemporaryFile() as file:
            file.write(bytes(TEMPORARY_BYTES))
            file.flush()
    except OSError as error:
        reason = f"no temporary file can be written: {error.strerror}"
        raise Unfit(f"{reason}: let TMPDIR name a writable folder with free space") from None


async def _check_database(service: Service) -> None:
    """Raise Unfit if the database does not suit this build. If it is away or read-only, the process starts unready."""
    try:
        if reason := await within(START_SECONDS, _ready(service)()):
            log.warning("not ready yet: %s", reason)
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("not ready yet: %s", error)


class Watch:
    """The part that measures the outbox every second, so that the API sheds before the disk fills.

    While the outbox is empty and this process publishes nothing, it pauses for `IDLE_SECONDS` more.

    The same statement shows whether the database was restored. Then the part calls `others`.

    A failed look is a sign of life, because the watch itself does not depend on the database: readiness reports it.
    """

    def __init__(self, service: Service, *others: Callable[[], Awaitable[None]]) -> None:
        self._database, self._others = service.database, others
        self._database.pressure.outbox_limit = service.settings.outbox_depth_limit
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stop.done():
                try:
                    with foreign_cancellation_is_an_error():
                        await within(LOOK_LIMIT_SECONDS, self._look())
                except Exception as error:  # without the next measurement the API would never shed
                    if is_transient(error):
                        log.warning("cannot look at the database: %s", error)
                    else:
                        log.exception("cannot look at the database")
                self.progressed = time.monotonic()
                if not self._database.pressure.outbox_depth:
                    published = asyncio.create_task(self._database.pressure.published.wait())
                    await asyncio.wait([stop, published], timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    abandon(published)
                await asyncio.wait([stop], timeout=LOOK_SECONDS)
        finally:
            abandon(stop)

    async def _look(self) -> None:
        await gauges.look_at_outbox(self._database)
        for look in self._others:
            await look()


@asynccontextmanager
async def _closing(database: Database) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with suppress(TimeoutError):
            await within(CLOSE_SECONDS, database.close())


def _stuck(parts: Mapping[str, Part]) -> list[str]:
    return [name for name, part in parts.items() if time.monotonic() - part.progressed > PROGRESS_SECONDS]


def _no_progress(names: Sequence[str]) -> str | None:
    return f"no progress: {', '.join(names)}" if names else None


async def _api(service: Service) -> None:
    """Serve HTTP until SIGTERM. If a part ends by itself or hangs, the process exits, as a worker does."""
    await _check_database(service)
    await _serve(service, {}, lambda: [], drain_seconds=CLOSE_SECONDS)


async def _serve(
    service: Service, others: Mapping[str, Part], hanging: Callable[[], list[str]], *, drain_seconds: float
) -> None:
    """Serve HTTP, and run `others` beside the parts of the API until SIGTERM. `hanging` names more that hangs."""
    settings, limits = service.settings, Limits(service.database)

    def stuck() -> str | None:
        return _no_progress([*_stuck(parts), *hanging()])

    async def live() -> str | None:
        return stuck()

    ops, closed = server.Ops(live=live, ready=_ready(service)), asyncio.Event()
    parts: dict[str, Part] = {
        "listeners": Endless(lambda stopping: server.until(stopping, closed)),
        "outbox watch": Watch(service, limits.refresh),
        **merged(service.features).parts,
        **others,
    }
    async with _closing(service.database):
        with server.signals() as stop:
            async with server.serving(service.api(limits=limits), ops, settings, closed):
                await run_parts(parts, stop, stuck, drain_seconds=drain_seconds, draining=ops.drain)


@dataclass(frozen=True, slots=True)
class _Work:
    """The parts of a worker. `hanging` names the parts and jobs that hang, `waiting` the groups not joined yet."""

    parts: Mapping[str, Part]
    hanging: Callable[[], list[str]]
    waiting: Callable[[], list[str]]


def _work(service: Service) -> _Work:
    """Build relay, consumers, effects and jobs. None of them runs yet."""
    settings = service.settings
    relay = Relay(service.database.dsn, settings.broker, service.name)
    consumers = service.consumers()
    own: list[Job] = [
        every_in_units(60, partitions.run_partitions),
        every_in_units(60, retention.run_purge),
        measured(GAUGE_SECONDS, gauges.look_at_dead_letters),
        measured(GAUGE_SECONDS, gauges.look_at_jobs),
    ]
    parts: dict[str, Part] = {each.subscription.group: each for each in consumers} | {"relay": relay}
    rebuilds = service.rebuilds()
    building = Projections(service.database, settings.broker, service.name, rebuilds)
    if rebuilds:
        parts["projections"] = building
    if consumers or rebuilds:
        parts["retries"] = Retries(service.database, [each.inbox for each in consumers], building.inboxes.values())
        own += [*(each.job for each in rebuilds), retired.CLEAR, every_in_units(10, retired.drop_retired)]
    reader: LogReader | None = None
    if service.log is not None:
        parts["log"] = reader = LogReader(service.database, settings.broker, service.name, service.log)
    if service.effects:
        parts["effects"] = Effects(service.database, service.effects, drain_seconds=settings.drain_seconds)
        own.append(measured(GAUGE_SECONDS, gauges.look_at_effects))
    jobs = Jobs(service.database, [*service.jobs, *own], drain_seconds=settings.drain_seconds)
    parts["jobs"] = jobs

    def hanging() -> list[str]:
        return [*_stuck(parts), *jobs.hanging]

    def waiting() -> list[str]:
        groups = [consumer.subscription.group for consumer in consumers if not consumer.ready]
        groups += building.waiting if rebuilds else []
        return groups + (["log"] if reader is not None and not reader.ready else [])

    return _Work(parts, hanging, waiting)


async def _worker(service: Service) -> None:
    """Run relay, consumers, effects and jobs until SIGTERM, then drain them for at most `drain_seconds`.

    If a part fails, ends by itself or makes no progress, the process exits and a supervisor starts it again.
    """
    await _check_database(service)
    await clients.check_topics(service.settings.broker, service.topic_specs())
    work, database_ready = _work(service), _ready(service)

    async def ready() -> str | None:
        waiting = work.waiting()
        return f"not in its group yet: {', '.join(waiting)}" if waiting else await database_ready()

    await _run(service, work.parts, work.hanging, ready)


async def _runner(service: Service) -> None:
    """Run the parts that compute until SIGTERM. They need no Kafka: the relay of a worker publishes their events."""
    parts = merged(service.features).computing
    if not parts:
        raise SystemExit(f"{service.name} has nothing to compute, so it has no runner.")
    await _check_database(service)
    await _run(service, parts, lambda: _stuck(parts), _ready(service))


async def _run(
    service: Service, work: Mapping[str, Part], hanging: Callable[[], list[str]], ready: server.Check
) -> None:
    """Run parts behind an ops port until SIGTERM. `hanging` names those that hang."""
    settings, watch = service.settings, Watch(service)

    def stuck() -> str | None:
        return _no_progress([*hanging(), *_stuck({"outbox watch": watch})])

    async def live() -> str | None:
        return stuck()

    ops = server.Ops(live=live, ready=ready)
    closed = asyncio.Event()
    listening = Endless(lambda stopping: server.until(stopping, closed))
    parts: dict[str, Part] = {**work, "outbox watch": watch, "ops port": listening}
    async with _closing(service.database), server.ops_port(ops, settings, closed) as port:
        log.info("listening", extra={"ops_port": port})
        with server.signals() as stop:
            await run_parts(parts, stop, stuck, drain_seconds=settings.drain_seconds, draining=ops.drain)


async def _all(service: Service) -> None:
    """Serve HTTP and run the parts of a worker and of a runner in one process, for small machines.

    The API does not wait for Kafka: the parts of the worker start once Kafka answers. Readiness is the API's.
    """
    await _check_database(service)
    drain_seconds, work = service.settings.drain_seconds, None
    others: dict[str, Part] = {**merged(service.features).computing}

    def hanging() -> list[str]:
        return [] if work is None else work.hanging()

    async def run(stopping: asyncio.Event) -> None:
        nonlocal work
        if await _topics_exist(service, stopping):
            work = _work(service)
            await run_parts(work.parts, stopping, lambda: _no_progress(hanging()), drain_seconds=drain_seconds)

    await _serve(service, others | {"worker": Endless(run)}, hanging, drain_seconds=drain_seconds + CLOSE_SECONDS)


async def _topics_exist(service: Service, stopping: asyncio.Event) -> bool:
    """Ask until Kafka answers. Return False if `stopping` is set before. Raise Unfit if Kafka does not suit it."""
    stop = asyncio.create_task(stopping.wait())
    try:
        while not stop.done():
            check = asyncio.create_task(clients.check_topics(service.settings.broker, service.topic_specs()))
            await asyncio.wait([stop, check], return_when=asyncio.FIRST_COMPLETED)
            if not check.done():
                abandon(check)
                break
            try:
                await check
            except (*clients.KAFKA_TROUBLE, Interrupted) as error:
                log.warning("the worker waits for Kafka: %s", error)
                await asyncio.wait([stop], timeout=KAFKA_PAUSE_SECONDS)
            else:
                return True
        return False
    finally:
        abandon(stop)


async def _migrate(service: Service) -> None:
    await service.migrate()
    await service.database.close()


async def _openapi(service: Service) -> None:
    json.dump(service.api().openapi(), sys.stdout, indent=2, sort_keys=True)
    print()


ROLES = {"api": _api, "worker": _worker, "runner": _runner, "all": _all, "migrate": _migrate, "openapi": _openapi}


def _quieten_collector() -> None:
    """Exempt the objects made so far from garbage collection and collect later ones less often.

    Imported modules live as long as the process. A batch of a thousand orders holds 150,000 objects, which reference
    counts free. Traversing both repeatedly cost a quarter of a worker's time, and pauses of 100 ms. The threshold is
    above the size of a batch, so that cycles are still collected.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def main(build: Callable[[S], Service], settings: type[S]) -> None:
    """Run one role of a service: `python -m order_service api|worker|runner|all|migrate|openapi`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=ROLES)
    role = parser.parse_args().role
    loaded = load(settings)
    service = build(loaded)
    logs.configure(service.name, role, loaded.log_level)
    tracing.configure(service.name, role, loaded.otlp_endpoint)
    _quieten_collector()
    try:
        _check_temporary_files()
        uvloop.run(_to_its_end(ROLES[role](service)))
    except Unfit as error:
        log.critical("%s %s cannot run: %s", service.name, role, error)
        raise SystemExit(1) from None
    except Exception as error:
        if reason := unwritable(error):
            log.critical("%s %s cannot run: %s", service.name, role, reason)
        else:
            log.critical("%s %s ends: %s: %s", service.name, role, type(error).__name__, error, exc_info=error)
        raise SystemExit(1) from None
    finally:
        tracing.shutdown()


async def _to_its_end(work: Awaitable[None]) -> None:
    """Do the work, then make sure that the process ends.

    Closing an event loop waits for the tasks that it cancels, and an abandoned task may ignore its cancellation for
    ever. A timer ends the process in that case.
    """
    code = 1
    try:
        await work
        code = 0
    finally:
        timer = threading.Timer(EXIT_SECONDS, os._exit, [code])
        timer.daemon = True
        timer.start()
