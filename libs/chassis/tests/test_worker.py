import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from crossdock_chassis import Service, worker
from crossdock_chassis import service as service_module
from crossdock_chassis.service import Watch
from crossdock_chassis.worker import NoProgress, PartEnded, run_parts


class Part:
    def __init__(self, work: Callable[[asyncio.Event], Awaitable[object]]) -> None:
        self.progressed = time.monotonic()
        self._work = work

    async def run(self, stopping: asyncio.Event) -> None:
        await self._work(stopping)


def patient() -> Part:
    return Part(lambda stopping: stopping.wait())


async def run(*parts: Part, stuck: Callable[[], str | None] = lambda: None, drain_seconds: float = 5) -> None:
    named = {f"part {number}": part for number, part in enumerate(parts, 1)}
    async with asyncio.timeout(10):
        await run_parts(named, asyncio.Event(), stuck, drain_seconds=drain_seconds)


async def test_a_part_that_ends_by_itself_ends_the_worker() -> None:
    async def ends(_: asyncio.Event) -> None:
        return None

    with pytest.raises(PartEnded, match="part 2 ended by itself"):
        await run(patient(), Part(ends))


async def test_a_cancelled_part_ends_the_worker() -> None:
    async def cancelled(_: asyncio.Event) -> None:
        raise asyncio.CancelledError

    with pytest.raises(PartEnded, match="part 2 was cancelled"):
        await run(patient(), Part(cancelled))


async def test_the_error_of_a_part_ends_the_worker() -> None:
    async def fails(_: asyncio.Event) -> None:
        raise ValueError("out of order")

    with pytest.raises(ValueError, match="out of order"):
        await run(patient(), Part(fails))


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
        await run_parts({"stubborn": Part(stubborn), "patient": patient()}, stop, lambda: None, drain_seconds=0.05)
    ended.set()


async def test_hanging_look_at_the_outbox_is_abandoned(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    """The look after it measures again: a watch that waits for ever would let the API take orders without a limit."""
    monkeypatch.setattr(service_module, "LOOK_LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(service_module, "LOOK_SECONDS", 0.01)
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
        await run_parts({"part": Part(drains)}, stop, lambda: None, drain_seconds=1, draining=refused.set)
    assert ended.is_set()
