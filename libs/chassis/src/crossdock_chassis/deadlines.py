"""Deadlines that hold even if work ignores its cancellation, and cancellations by a library instead of a caller."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

PROGRESS_SECONDS: Final = 120.0
"""If a part of a worker makes no progress for this long, the worker exits so that a supervisor starts a new worker."""

T = TypeVar("T")


class Interrupted(Exception):
    """A library cancelled the future that this task waited for; the task itself was not cancelled."""


_abandoned: set[asyncio.Future[Any]] = set()
"""Referenced until they end, because the event loop itself holds tasks weakly."""


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Return the result of `work`. Raise TimeoutError and abandon it at the deadline, Interrupted if it was cancelled.

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
    if task.cancelled():
        raise Interrupted("a library cancelled the work")
    return task.result()


@contextmanager
def foreign_cancellation_is_an_error() -> Iterator[None]:
    """Raise Interrupted for a CancelledError that does not come from `cancel()` of the current task.

    When a connection closes, aiokafka cancels the futures that its callers wait for. A caller cannot distinguish this
    from its own cancellation: its task would end without an error, and nothing would start the task again.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    except asyncio.CancelledError as error:
        if task.cancelling() > before:
            raise
        raise Interrupted("a library cancelled the work") from error


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
