"""The part of a worker that builds projections: a consumer for each generation of the worker's own version."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import abandon, foreign_cancellation_is_an_error
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.inbox import GenerationEnded, Inbox
from crossdock_chassis.projections import generations
from crossdock_chassis.projections.generations import Live
from crossdock_chassis.projections.rebuild import Rebuild

LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
"""The longest pause between two looks at the database, while no generation is being built."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    consumer: Consumer
    stop: asyncio.Event
    task: asyncio.Task[None]


class Projections:
    """Starts and stops consumers as generations begin and end, and requests a rebuild for a newer version.

    A worker of another version leaves a generation alone, because its handlers may not fit the tables. In a rolling
    deployment the old workers keep the current generation up to date while the new ones build the next.
    """

    def __init__(self, database: Database, kafka: Broker, service: str, rebuilds: Sequence[Rebuild]) -> None:
        self._database, self._kafka, self._service = database, kafka, service
        self._rebuilds = rebuilds
        self._running: dict[int, _Running] = {}
        self.inboxes: dict[int, Inbox] = {}  # by generation, for the retries of blocked keys
        self._looked = time.monotonic()
        self._look_next = 0.0
        self._current: set[int] | None = None
        self._warned: set[str] = set()

    @property
    def progressed(self) -> float:
        return min([self._looked, *(each.consumer.progressed for each in self._running.values())])

    @property
    def waiting(self) -> list[str]:
        """Return the groups of current generations that are not in their consumer group yet."""
        if self._current is None:
            return [f"{self._service}'s projections"]
        running = [each.consumer for generation, each in self._running.items() if generation in self._current]
        return [consumer.subscription.group for consumer in running if not consumer.ready]

    async def run(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                try:
                    with foreign_cancellation_is_an_error():
                        if time.monotonic() >= self._look_next or any(each.begun for each in self._rebuilds):
                            await self._look()
                    self._looked = time.monotonic()
                except Exception as error:
                    if not is_transient(error):
                        raise
                    log.warning("cannot look at projections: %s: %s", type(error).__name__, error)
                    self._look_next = 0.0
                await asyncio.wait([stop, *self._tasks()], timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._collect()
            for each in self._running.values():
                each.stop.set()
            if self._running:
                await asyncio.wait([*self._tasks()])
                self._collect()
        finally:
            for task in (stop, *self._tasks()):
                abandon(task)

    def _tasks(self) -> Iterator[asyncio.Task[None]]:
        return (each.task for each in self._running.values())

    async def _look(self) -> None:
        for rebuild in self._rebuilds:
            rebuild.begun = False
        live = await generations.live(self._database)
        for rebuild in self._rebuilds:
            await self._compare(rebuild, live)
        building = any(each.state == "building" for each in live)
        self._look_next = time.monotonic() + (0.0 if building else IDLE_SECONDS)
        mine = generations.subscriptions(self._service, [each.projection for each in self._rebuilds], live)
        self._current = {each.generation for each in live if each.state == "current"}
        for generation, running in self._running.items():
            if generation not in mine:
                running.stop.set()
        for generation, subscription in mine.items():
            if generation not in self._running:
                consumer = Consumer(self._database, self._kafka, subscription)
                self.inboxes[generation] = consumer.inbox
                stop = asyncio.Event()
                self._running[generation] = _Running(consumer, stop, asyncio.create_task(consumer.run(stop)))

    async def _compare(self, rebuild: Rebuild, live: Sequence[Live]) -> None:
        """Request a rebuild if this version is the newest. Log once if the current generation has a newer one."""
        name, version = rebuild.projection.name, rebuild.projection.version
        versions = {each.state: each.version for each in live if each.name == name}
        if max(versions.values(), default=0) < version:
            async with self._database.unit() as unit:
                await rebuild.begin(unit, by=f"{self._service} version {version}")
        elif versions.get("current", version) > version and name not in self._warned:
            self._warned.add(name)
            log.error(
                "readers see version %s of %s and this build has %s: rebuild it", versions["current"], name, version
            )

    def _collect(self) -> None:
        """Forget consumers that were stopped or whose generation ended. Raise the error of any other."""
        for generation, running in list(self._running.items()):
            if not running.task.done():
                continue
            del self._running[generation], self.inboxes[generation]
            try:
                running.task.result()
            except GenerationEnded as ended:
                log.info("%s", ended)
