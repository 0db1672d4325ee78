"""Read for many callers with one query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

from crossdock_chassis.observability import tracing

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LIMIT: Final = 100


class Together(Generic[K, V]):
    """Turns concurrent reads of single things into reads of many: all keys that wait are read at once.

        case = Together(read_cases)            # async (keys) -> {key: value}
        view = await case((partner, id))       # None if `read_cases` did not find it

    Callers whose commands shared a unit ask for its outcome at one moment. Each read begins after its calls, so a
    caller sees what it has committed. A failure fails all callers of that read.
    """

    def __init__(self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, name: str) -> None:
        self._read, self._name = read, name
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def __call__(self, key: K) -> V | None:
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            # An empty context, because the task serves many callers: its logs and spans must not name the first one.
            self._reading = asyncio.create_task(self._work(), context=Context())
        return await asyncio.shield(answer)  # the others still wait if this caller is cancelled

    async def _work(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:LIMIT]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._reading = None

    async def _answer(self, asked: Mapping[K, "asyncio.Future[V | None]"]) -> None:
        try:
            with tracing.span(self._name, attributes={"batch": len(asked)}):
                found = await self._read(list(asked))
        except BaseException as error:
            failure = error if isinstance(error, Exception) else ConnectionError("the read was cancelled")
            for answer in asked.values():
                answer.set_exception(failure)
                answer.exception()  # a caller may be gone
            if failure is not error:
                raise
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
