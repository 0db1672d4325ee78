"""Run the parts of a process concurrently and end the process if a part ends or hangs."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from crossdock_chassis.deadlines import abandon
from crossdock_chassis.feature import Part

WATCH_SECONDS: Final = 5.0
"""How often the parts are looked at. The end of a part is seen at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endless:
    """A part that needs no sign of life, such as a listener: probes reach it. It must not end before the process."""

    work: Callable[[asyncio.Event], Awaitable[None]]

    @property
    def progressed(self) -> float:
        return time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        await self.work(stopping)


class PartEnded(Exception):
    """A part of the worker ended before the worker was stopped."""


class NoProgress(Exception):
    """A part of the worker hangs."""


async def run_parts(
    parts: Mapping[str, Part],
    stop: asyncio.Event,
    stuck: Callable[[], str | None],
    *,
    drain_seconds: float,
    draining: Callable[[], None] = lambda: None,
) -> None:
    """Run all parts until `stop`, then wait `drain_seconds` for them and abandon the rest.

    `draining` is called when the drain begins, so that readiness is refused meanwhile. `stuck` returns why the worker
    hangs, or None.

    Raise the error of the first part that failed. Raise PartEnded if a part ended by itself or was cancelled, and
    NoProgress if a part hangs.
    """
    tasks: dict[asyncio.Task[None], str] = {asyncio.create_task(part.run(stop)): name for name, part in parts.items()}
    stopped = asyncio.create_task(stop.wait())
    failure: BaseException | None = None
    try:
        while not stop.is_set() and failure is None:
            watched: set[asyncio.Task[object]] = {*tasks, stopped}
            await asyncio.wait(watched, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                failure = _first_failure(tasks) or _hang(stuck)
        stop.set()
        draining()
        _, hanging = await asyncio.wait(tasks, timeout=drain_seconds)
        failure = failure or next((each.exception() for each in tasks if _failed(each)), None)
        if hanging:
            log.warning("abandoned at the end of the drain: %s", ", ".join(tasks[task] for task in hanging))
    finally:
        for task in (*tasks, stopped):
            abandon(task)
    if failure is not None:
        raise failure


def _first_failure(tasks: Mapping[asyncio.Task[None], str]) -> BaseException | None:
    for task, name in tasks.items():
        if task.cancelled():
            return PartEnded(f"{name} was cancelled")
        if task.done():
            return task.exception() or PartEnded(f"{name} ended by itself")
    return None


def _hang(stuck: Callable[[], str | None]) -> NoProgress | None:
    why = stuck()
    return None if why is None else NoProgress(why)


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
