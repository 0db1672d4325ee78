"""Place many orders in one request: each line gets a line as answer, in order, while the rest is still being read.

Three tasks run at the same time: one reads and parses lines, one places the parsed lines in groups, one sends answers.
This has four effects:

- A client that sends all lines before it reads an answer does not block itself.
- A fast client fills whole groups.
- A slow client gets its answers without waiting for a full group.
- Memory is bounded: at most `MAX_WAITING` lines and `WAITING_BYTES`, one more chunk, and `BACKLOG_BYTES` of answers.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crossdock_chassis import Content, JsonBody, Overloaded, Refusal, drop_tracebacks
from crossdock_events import Cause
from order_service.orders.draft import Draft, settle
from order_service.orders.model import DuplicateReference, OrderError
from order_service.orders.place import Placed, PlaceOrder
from order_service.orders.up_to_date import UpToDate

MEDIA_TYPE: Final = "application/x-ndjson"
MAX_LINES: Final = 100_000
MAX_BYTES: Final = 64 << 20
LONGEST_LINE: Final = 1 << 20
BACKLOG_BYTES: Final = 16 << 20
MAX_ERRORS: Final = 10
GROUP: Final = 500
"""Orders in one transaction, limited by `batch_limit`. With 200, an order costs a seventh more in `make bench`. A
larger group delays single orders because they wait while the group is prepared."""
AT_ONCE: Final = 4
"""Batches of one partner that a process handles at once. Each uses a database connection while it places a group."""
MAX_WAITING: Final = 2 * GROUP
LINES_AT_ONCE: Final = 50
"""Lines that are parsed before other requests get a turn. A long line is parsed alone."""
LONG_LINE: Final = 1 << 14
WAITING_BYTES: Final = 1 << 20


class LineTooLong(OrderError):
    def __init__(self) -> None:
        super().__init__(f"A line has at most {LONGEST_LINE} bytes")


class TooManyLines(OrderError):
    def __init__(self) -> None:
        super().__init__(f"A batch has at most {MAX_LINES} lines; this line and the lines after it were not processed")


class AnswersUnread(OrderError):
    def __init__(self) -> None:
        super().__init__("Read the answers while sending: this line and the lines after it were not processed")


class BatchLine(BaseModel):
    """The answer to one line. `line` counts from 1, blank lines included; blank lines get no answer."""

    line: int
    reference: str | None = None
    outcome: Literal["created", "existing", "conflict", "invalid", "failed"] = Field(
        description="`failed`: the outcome is unknown; send the line again"
    )
    id: UUID | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """`size`: the bytes that the line holds while it waits."""

    number: int
    reference: str | None
    content: Draft | Exception
    size: int


class _Splitter:
    """Splits chunks into lines. A line that is too long is kept only far enough to detect its length."""

    def __init__(self) -> None:
        self.number = 0
        self._rest = bytearray()

    @property
    def empty(self) -> bool:
        return not self.number and not self._rest

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Yield (number, bytes) of each line that ends in the chunk. None as bytes: too long."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            yield self._take(chunk[start:end])
            start = end + 1
        self._keep(chunk[start:])

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield the last line, which needs no newline."""
        if self._rest:
            yield self._take(b"")

    def _keep(self, part: bytes) -> None:
        if len(self._rest) <= LONGEST_LINE:
            self._rest += part

    def _take(self, part: bytes) -> tuple[int, bytes | None]:
        self.number += 1
        if self._rest:
            self._keep(part)
            part = bytes(self._rest)
            self._rest.clear()
        return self.number, part if len(part) <= LONGEST_LINE else None


class _Waiting:
    """Lines that were read and are not placed yet."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._size = 0
        self._some, self._room = asyncio.Event(), asyncio.Event()
        self._ended = False

    async def fill(self, chunks: AsyncIterator[Sequence[Line]]) -> None:
        """Read to the end, pausing while there is no room."""
        try:
            async for lines in chunks:
                self._lines.extend(lines)
                self._size += sum(line.size for line in lines)
                self._some.set()
                while len(self._lines) > MAX_WAITING or self._size > WAITING_BYTES:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._some.set()

    async def take(self) -> list[Line]:
        """Return the waiting lines, at most a group. Wait if there are none; return an empty list at the end."""
        while not self._lines and not self._ended:
            self._some.clear()
            await self._some.wait()
        taken = [self._lines.popleft() for _ in range(min(len(self._lines), GROUP))]
        self._size -= sum(line.size for line in taken)
        self._room.set()
        return taken

    async def drop(self) -> None:
        """Discard all further lines, to the end."""
        while await self.take():
            pass


class _Backlog:
    """Answers that are not sent yet. `put` never waits for the client."""

    def __init__(self, send: Send) -> None:
        self.size = 0
        self._send = send
        self._pieces: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._ended = False

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        self._more.set()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    async def drain(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._pieces:
                piece = self._pieces.popleft()
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
                self.size -= len(piece)
            if self._ended:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return


class BatchAnswer(Response):
    """Send the status after the first chunk has arrived. A refusal before that is an ordinary problem response."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        place: UpToDate[PlaceOrder, Placed],
        partner: str,
        cause: Cause,
        describe: Callable[[Exception], dict[str, Any]],
        *,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self._body, self._place, self._describe = body, place, describe
        self._partner, self._cause, self._backlog_bytes = partner, cause, backlog_bytes
        self._began = time.monotonic()
        self._parse = JsonBody(Draft).parse_in_turns
        self._last = 0
        self.status_code, self.media_type, self.background = 200, MEDIA_TYPE, None
        self.init_headers(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunks = self._chunks()
        first = await anext(chunks, None)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        backlog, waiting = _Backlog(send), _Waiting()
        reading = asyncio.create_task(waiting.fill(_after(first, chunks)))
        sending = asyncio.create_task(backlog.drain())
        try:
            while group := await waiting.take():
                if backlog.size > self._backlog_bytes:
                    refused = Line(group[0].number, group[0].reference, AnswersUnread(), 0)
                    backlog.put(_written([self._refused(refused)]))
                    await waiting.drop()
                    break
                backlog.put(await self._answers(group))
            await reading
            backlog.end()
            await sending
        finally:
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
            await chunks.aclose()

    async def _chunks(self) -> AsyncGenerator[Sequence[Line], None]:
        """Yield the parsed lines of each chunk. An error that ends the batch early becomes the last line."""
        splitter = _Splitter()
        try:
            async for chunk in self._body:
                async for lines in self._parsed(splitter.feed(chunk)):
                    yield lines
                if splitter.number > MAX_LINES:
                    await self._discard()
                    return
        except Refusal as error:
            if splitter.empty:
                raise
            yield [Line(splitter.number + 1, None, error, 0)]
            return
        async for lines in self._parsed(splitter.end()):
            yield lines

    async def _parsed(self, found: Iterator[tuple[int, bytes | None]]) -> AsyncGenerator[Sequence[Line], None]:
        """Yield the lines that are not blank, up to the limit. Other requests run after every few lines.

        The lines of a chunk stay together, because a transaction for each few lines costs more per order.
        """
        lines = []
        for number, raw in found:
            if number > MAX_LINES:
                lines.append(Line(number, None, TooManyLines(), 0))
                break
            if raw is None or raw.strip():
                lines.append(await self._line((number, raw)))
            if not number % LINES_AT_ONCE or (raw is not None and len(raw) > LONG_LINE):
                if len(lines) >= GROUP:
                    yield lines
                    lines = []
                await asyncio.sleep(0)
        if lines:
            yield lines

    async def _discard(self) -> None:
        """Read the body to its end. Otherwise a client that sends all lines first would never read the reason."""
        with suppress(Refusal):
            async for _ in self._body:
                pass

    async def _line(self, found: tuple[int, bytes | None]) -> Line:
        number, raw = found
        if raw is None:
            return Line(number, None, LineTooLong(), 0)
        try:
            draft = await self._parse(raw)
        except (Refusal, RequestValidationError) as error:
            drop_tracebacks(error)
            return Line(number, _reference_in(raw), error, len(raw))
        try:
            return Line(number, draft.reference, settle(draft), len(raw))
        except OrderError as error:
            drop_tracebacks(error)
            return Line(number, draft.reference, error, len(raw))

    async def _answers(self, group: Sequence[Line]) -> bytes:
        """Place the orders of a group, and write the answers. Other requests run after every few lines."""
        drafts = [line.content for line in group if isinstance(line.content, Draft)]
        commands = [PlaceOrder(self._partner, draft, Content.of(draft), self._cause) for draft in drafts]
        try:
            placed = iter(await self._place.many(commands, self._began) if commands else [])
        except Overloaded as error:
            placed = iter([error] * len(commands))
        written = b""
        for start in range(0, len(group), LINES_AT_ONCE):
            written += _written(
                [
                    self._answered(line, next(placed)) if isinstance(line.content, Draft) else self._refused(line)
                    for line in group[start : start + LINES_AT_ONCE]
                ]
            )
            await asyncio.sleep(0)
        return written

    def _answered(self, line: Line, answer: Placed | Exception) -> BatchLine:
        if isinstance(answer, Exception):
            return self._refused(Line(line.number, line.reference, answer, 0))
        return BatchLine(
            line=line.number,
            reference=line.reference,
            outcome="created" if answer.created else "existing",
            id=answer.order_id,
        )

    def _refused(self, line: Line) -> BatchLine:
        error = line.content
        assert isinstance(error, Exception)
        problem = self._describe(error)
        if isinstance(errors := problem.get("errors"), list):
            problem["errors"] = errors[:MAX_ERRORS]
        status = problem["status"]
        if isinstance(error, DuplicateReference):
            return BatchLine(
                line=line.number, reference=line.reference, outcome="conflict", id=error.order_id, problem=problem
            )
        ours = isinstance(status, int) and (status >= 500 or status == 409)
        return BatchLine(
            line=line.number, reference=line.reference, outcome="failed" if ours else "invalid", problem=problem
        )


async def _after(first: Sequence[Line] | None, others: AsyncIterator[Sequence[Line]]) -> AsyncIterator[Sequence[Line]]:
    if first is not None:
        yield first
    async for each in others:
        yield each


def _written(answers: Sequence[BatchLine]) -> bytes:
    return b"".join(each.__pydantic_serializer__.to_json(each, exclude_none=True) + b"\n" for each in answers)


def _reference_in(raw: bytes) -> str | None:
    """Return the reference in a line that is not a valid order, or None if there is no usable reference."""
    try:
        document = from_json(raw)
    except ValueError:
        return None
    reference = document.get("reference") if isinstance(document, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= 64 else None
