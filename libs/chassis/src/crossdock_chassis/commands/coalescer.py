import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from crossdock_chassis.commands import idempotency
from crossdock_chassis.commands.gather import Gather
from crossdock_chassis.commands.idempotency import IdempotentRequest
from crossdock_chassis.database.errors import Moved, OutcomeUnknown, is_connection_loss, is_contention, is_transient
from crossdock_chassis.database.unit import Database, Handler
from crossdock_chassis.observability import metrics, tracing
from crossdock_chassis.problems import Problem

log = logging.getLogger(__name__)

C = TypeVar("C")
R = TypeVar("R", bound=BaseModel)
R_co = TypeVar("R_co", bound=BaseModel, covariant=True)

WRITERS: Final = 2
WORTH_A_WRITER: Final = 25
"""While one unit waits for the database, a second writer prepares the next unit if this many commands wait. A smaller
unit costs more than it gains. The writers never deadlock, because all units lock keys and rows in one order."""

LOCK_SECONDS: Final = 0.25
"""The lock timeout of a writer. A lock of another transaction stalls all its callers for at most this long."""

PATIENT_LOCK_SECONDS: Final = 5.0
"""The lock timeout of a retry off the writer, for commands that alone in a unit still could not lock."""


class Overloaded(Exception):
    """Too many commands are waiting. Nothing of this request was done."""

    problem = Problem(
        503,
        "overloaded",
        "Too many requests are waiting; nothing was done; wait Retry-After seconds, then retry",
        headers={"Retry-After": "1"},
    )


class Unavailable(Exception):
    """The database is away, so the outcome is unknown. A retry with the same key or reference returns the outcome."""

    problem = Problem(
        503,
        "outcome-unknown",
        "The request may or may not have been done; retry with the same Idempotency-Key or reference",
        headers={"Retry-After": "1"},
    )


class Contended(Exception):
    """Other transactions held a lock for longer than the lock timeout. Nothing of this request was done."""

    problem = Problem(
        503,
        "contended",
        "Other requests are changing the same resource; nothing was done; wait Retry-After seconds, then retry",
        headers={"Retry-After": "1"},
    )


class CommandResult(NamedTuple, Generic[R_co]):
    result: R_co
    replayed: bool


@dataclass(slots=True)
class _Waiting(Generic[C, R]):
    command: C
    request: IdempotentRequest | None
    answer: "asyncio.Future[CommandResult[R]]"
    traceparent: str | None
    since: float = field(default_factory=perf_counter)


class Coalescer(Generic[C, R]):
    """Turns concurrent single commands into batches for a handler: all waiting commands go into the next unit.

        place = Coalescer(database, place_orders, Receipt)
        done = await place(command, key.of(body))      # CommandResult(result, replayed)

    The call returns after the commit of its command. A batch that fails is split until the failing command is alone.
    If that command cannot get a lock, it is retried off the writer with a longer lock timeout.
    A repeated idempotency key gets the first answer again, even if another process ran the handler.
    Use `limit=1` for commands that must not share a transaction.
    A handler that can work in an optimistic unit is tried there first if the coalescer is `optimistic`.
    """

    def __init__(
        self,
        database: Database,
        handler: Handler[C, R],
        result: type[R],
        *,
        limit: int = 500,
        queue_limit: int = 2_000,
        name: str = "",
        optimistic: bool = False,
    ) -> None:
        self._database, self._handler, self._result, self._optimistic = database, handler, result, optimistic
        self._limit, self._queue_limit = limit, queue_limit
        self._queue: deque[_Waiting[C, R]] = deque()
        self._writers, self._writing, self._aside = 0, 0, 0
        self._gather = Gather()
        self._patience = asyncio.Semaphore(WRITERS)  # commands that wait for locks must not use the whole pool
        self._tasks: set[asyncio.Task[None]] = set()
        self._label = name or getattr(handler, "__name__", "commands")
        self._sizes = metrics.BATCH_SIZE.labels(self._label)
        self._depth = metrics.QUEUE_DEPTH.labels(self._label)
        self._waits = metrics.COMMAND_WAIT.labels(self._label)
        self._seconds = metrics.verb_seconds(self._label, "command")

    async def __call__(self, command: C, request: IdempotentRequest | None = None) -> CommandResult[R]:
        """Return the result. Raise the handler's refusal, Overloaded if nothing was done, Contended or Unavailable."""
        if len(self._queue) + self._aside >= self._queue_limit or self._database.pressure.high:
            raise self._overloaded(1)
        answer: asyncio.Future[CommandResult[R]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(command, request, answer, tracing.current_traceparent())
        self._queue.append(waiting)
        self._gather.arrived(len(self._queue), len(self._queue) + self._writing)
        if self._writers == 0 or (self._writers < WRITERS and len(self._queue) >= WORTH_A_WRITER):
            self._writers += 1
            self._start(self._write())
        return await answer

    async def many(self, commands: Sequence[C]) -> list[R | Exception]:
        """Handle commands that arrived together in as few units as `limit` allows. Return their results in order."""
        if self._database.pressure.high:
            raise self._overloaded(len(commands))
        answers: list[R | Exception] = []
        for start in range(0, len(commands), self._limit):
            part = commands[start : start + self._limit]
            with tracing.span(self._label, attributes={"batch": len(part)}):
                attempt = asyncio.ensure_future(self._attempt_twice([(command, None) for command in part]))
                answered = await asyncio.shield(attempt)
            answers += [answer.result if isinstance(answer, CommandResult) else answer for answer in answered]
        return answers

    def _start(self, work: Coroutine[None, None, None]) -> None:
        # An empty context, because the task serves many callers: its logs and spans must not name the first caller.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            log.error("a writer of %s was cancelled", self._label)
        elif (error := task.exception()) is not None:
            log.error("a writer of %s failed", self._label, exc_info=error)

    async def _write(self) -> None:
        try:
            while self._queue and (self._writers == 1 or len(self._queue) >= WORTH_A_WRITER):
                await self._write_once()
        finally:
            self._writers -= 1
            task = asyncio.current_task()
            if self._queue and not self._writers and task is not None and not task.cancelling():
                self._writers += 1  # the writer failed, and no new command may come to start another one
                self._start(self._write())

    async def _write_once(self) -> None:
        if self._limit > 1 and len(self._queue) < WORTH_A_WRITER:
            await self._gather.wait(len(self._queue))
        batch: list[_Waiting[C, R]] = []
        while self._queue and len(batch) < self._limit:
            waiting = self._queue.popleft()
            if not waiting.answer.done():  # else the caller was cancelled before the unit began
                batch.append(waiting)
        self._depth.set(len(self._queue))
        if not batch:
            return
        began = perf_counter()
        for waiting in batch:
            self._waits.observe(began - waiting.since)
        self._writing += len(batch)
        try:
            contended = await self._answer(batch)
        finally:
            self._writing -= len(batch)
        if contended:
            self._aside += len(contended)
            self._start(self._wait_aside(contended))

    async def _wait_aside(self, contended: Sequence[_Waiting[C, R]]) -> None:
        try:
            async with self._patience:
                if there := [waiting for waiting in contended if not waiting.answer.done()]:
                    await self._answer(there, patient=True)
        finally:
            self._aside -= len(contended)

    async def _answer(self, batch: Sequence[_Waiting[C, R]], *, patient: bool = False) -> list[_Waiting[C, R]]:
        """Resolve every caller; return the commands to retry with a longer lock timeout."""
        try:
            return await self._resolve(batch, patient=patient)
        except BaseException as error:  # nobody else would ever resolve these callers
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(_chained(Unavailable(), error))
            raise

    async def _resolve(self, batch: Sequence[_Waiting[C, R]], *, patient: bool) -> list[_Waiting[C, R]]:
        parents = [waiting.traceparent for waiting in batch]
        with tracing.span(self._label, parents=parents, attributes={"batch": len(batch)}):
            answers = await self._attempt([(waiting.command, waiting.request) for waiting in batch], patient=patient)
        contended, final = [], []
        for waiting, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Contended) and not patient and not waiting.answer.done():
                contended.append(waiting)
                continue
            final.append(answer)
            if waiting.answer.done():  # the client disconnected; its command is committed all the same
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
        self._count(final)
        return contended

    def _count(self, answers: Sequence[CommandResult[R] | Exception]) -> None:
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        if len(answers) > len(refused):
            self._database.count(self._label, len(answers) - len(refused))
        for error in refused:
            self._database.count(self._label, 1, error)

    def _overloaded(self, commands: int) -> Overloaded:
        error = Overloaded()
        self._database.count(self._label, commands, error)
        return error

    async def _attempt_twice(
        self, batch: Sequence[tuple[C, IdempotentRequest | None]]
    ) -> Sequence[CommandResult[R] | Exception]:
        answers = list(await self._attempt(batch))
        if contended := [i for i, answer in enumerate(answers) if isinstance(answer, Contended)]:
            async with self._patience:
                later = await self._attempt([batch[i] for i in contended], patient=True)
            for i, answer in zip(contended, later, strict=True):
                answers[i] = answer
        self._count(answers)
        return answers

    async def _attempt(
        self, batch: Sequence[tuple[C, IdempotentRequest | None]], *, patient: bool = False
    ) -> Sequence[CommandResult[R] | Exception]:
        self._sizes.observe(len(batch))
        began = perf_counter()
        try:
            return await self._in_one_unit(batch, PATIENT_LOCK_SECONDS if patient else LOCK_SECONDS)
        except OutcomeUnknown as error:
            return [_chained(Unavailable(), error) for _ in batch]
        except Exception as error:
            if is_connection_loss(error):
                return [_chained(Unavailable(), error) for _ in batch]
            failure = error
        finally:
            self._seconds.observe(perf_counter() - began)
        if is_contention(failure) and (patient or len(batch) == 1):
            return [_chained(Contended(), failure) for _ in batch]
        if len(batch) == 1:
            return [_chained(Unavailable(), failure) if is_transient(failure) else failure]
        half = len(batch) // 2
        return [
            *await self._attempt(batch[:half], patient=patient),
            *await self._attempt(batch[half:], patient=patient),
        ]

    async def _in_one_unit(
        self, batch: Sequence[tuple[C, IdempotentRequest | None]], lock_timeout: float
    ) -> Sequence[CommandResult[R] | Exception]:
        requests = [request for _, request in batch]
        if self._optimistic and (answers := await self._optimistically(batch, lock_timeout)) is not None:
            return answers
        async with self._database.unit(lock_timeout=lock_timeout) as unit:
            earlier = await idempotency.claim(unit.sql, requests, self._result)
            first: dict[tuple[str, str, str], int] = {}
            mine: list[int] = []
            for position, (request, answer) in enumerate(zip(requests, earlier, strict=True)):
                if answer is None and (request is None or first.setdefault(request.scope, position) == position):
                    mine.append(position)
            made = dict(zip(mine, await self._handler(unit, [batch[i][0] for i in mine]), strict=True)) if mine else {}
            done = [(request, made[i]) for i in mine if (request := requests[i]) is not None]
            if done:
                await idempotency.remember(unit.sql, done)
        answers = []
        for position, (request, before) in enumerate(zip(requests, earlier, strict=True)):
            if isinstance(before, Exception):
                answers.append(before)
            elif before is not None:
                answers.append(CommandResult(before, True))
            else:
                answer = made[position if request is None else first[request.scope]]
                repeated = position not in made
                answers.append(answer if isinstance(answer, Exception) else CommandResult(answer, repeated))
        return answers

    async def _optimistically(
        self, batch: Sequence[tuple[C, IdempotentRequest | None]], lock_timeout: float
    ) -> list[CommandResult[R] | Exception] | None:
        """Try the batch in an optimistic unit. Return None if an ordinary unit must do the work.

        This is so if a key was used before, and if a command with a key is refused: its key may have another answer.
        """
        keys = [request.scope for _, request in batch if request is not None]
        if len(set(keys)) < len(keys):
            return None
        try:
            async with self._database.optimistic(lock_timeout=lock_timeout) as unit:
                made = await self._handler(unit, [command for command, _ in batch])
                done = []
                for (_, request), answer in zip(batch, made, strict=True):
                    if request is not None:
                        if isinstance(answer, Exception):
                            raise Moved("a command with a key is refused")
                        done.append((request, answer))
                if done:
                    idempotency.answer(unit, done)
        except Moved:
            metrics.OPTIMISTIC.labels(self._label, "moved").inc()
            return None
        metrics.OPTIMISTIC.labels(self._label, "done").inc()
        return [answer if isinstance(answer, Exception) else CommandResult(answer, False) for answer in made]


E = TypeVar("E", bound=Exception)


def _chained(error: E, cause: BaseException) -> E:
    error.__cause__ = cause
    return error
