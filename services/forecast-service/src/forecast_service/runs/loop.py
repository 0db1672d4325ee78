"""The loop of a part of a runner: it keeps each slot of an engine at work."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from crossdock_chassis import Database, abandon, hear, is_transient
from forecast_service.runs import store
from forecast_service.runs.engine import Engine

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0

Stop: TypeAlias = "asyncio.Task[Any]"
Turn: TypeAlias = Callable[[Stop, Callable[[], None]], Awaitable[bool]]
"""Does one piece of work, and returns False if there is none. It gives the work back if the task ends, and calls the
function now and then while it works."""


class Loop:
    """Takes turns on each slot of an engine. `name` is for the log."""

    def __init__(self, name: str, database: Database, engine: Engine, turn: Turn) -> None:
        self._name, self._database, self._engine, self._work = name, database, engine, turn
        self._wake = asyncio.Event()
        self._wanted = 0
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`. Then give the work in hand to other runners."""
        stop, listening = asyncio.create_task(stopping.wait()), asyncio.create_task(self._listen())
        try:
            async with self._engine:
                await self._in_slots(stop)
        finally:
            for task in (stop, listening):
                abandon(task)

    async def _in_slots(self, stop: Stop) -> None:
        """Keep each slot of the engine at work. An error that is not transient in one of them ends all."""
        slots: dict[int, asyncio.Task[None]] = {}
        try:
            while not stop.done():
                self._wanted = await self._count()
                for number in range(self._wanted):
                    if number not in slots:
                        slots[number] = asyncio.create_task(self._slot(number, stop))
                watched = {stop, *slots.values()}
                ended, _ = await asyncio.wait(
                    watched, timeout=self._engine.look_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                for each in ended:
                    each.result()
                slots = {number: each for number, each in slots.items() if not each.done()}
            await asyncio.gather(*slots.values())
        finally:
            for each in slots.values():
                abandon(each)

    async def _count(self) -> int:
        self._alive()
        try:
            return await self._engine.slots()
        except ConnectionError as error:
            log.warning("%s: %s", self._name, error)
            return 0

    async def _slot(self, number: int, stop: Stop) -> None:
        """Do one piece of work after another, until `stop` or until the engine has fewer slots."""
        while not stop.done() and number < self._wanted:
            pause = await self._turn(stop)
            self._alive()
            if pause:
                woken = asyncio.create_task(self._wake.wait())
                await asyncio.wait([stop, woken], timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                abandon(woken)

    async def _turn(self, stop: Stop) -> float:
        """Return the seconds until the next turn."""
        self._wake.clear()
        try:
            return 0.0 if await self._work(stop, self._alive) else POLL_SECONDS
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("%s: %s: %s", self._name, type(error).__name__, error)
            return RETRY_SECONDS

    async def _listen(self) -> None:
        """Wake the loop when there is work. While the connection is lost, the poll finds it."""
        while True:
            try:
                await hear(self._database, store.CHANNEL, "runs", lambda _: self._wake.set())
            except Exception as error:
                log.warning("%s listen again: %s: %s", self._name, type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)

    def _alive(self) -> None:
        self.progressed = time.monotonic()
