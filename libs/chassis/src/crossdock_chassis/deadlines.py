"""A deadline that holds even if the work ignores its cancellation."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_abandoned: set[asyncio.Future[Any]] = set()
"""Referenced until they end, because the event loop itself holds tasks weakly."""


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Return the result of `work`, or raise TimeoutError at the deadline and abandon it.

    `asyncio.wait_for` of Python 3.11 waits until the task that it cancelled has ended. A Kafka client without a broker
    ignores cancellation: its `stop` never ends, and neither does the caller of `wait_for`. Here the task is cancelled
    and left behind, also if the caller itself is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        abandon(task)
        raise
    if not task.done():
        abandon(task)
        raise TimeoutError(f"no result within {seconds:g} s")
    return task.result()


def abandon(task: asyncio.Future[Any]) -> None:
    """Cancel a task and do not wait for its end."""
    task.cancel()
    if not task.done():
        _abandoned.add(task)
        task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    with suppress(asyncio.CancelledError):
        task.exception()  # else asyncio logs that it was never retrieved
