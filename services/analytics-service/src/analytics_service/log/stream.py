"""One stream: a position in the log that follows it, from the ring or from the table."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from analytics_service.log import views
from analytics_service.log.tail import READ, Entry, Tail
from analytics_service.log.views import Head
from crossdock_chassis import Database, Timestamp, abandon, is_transient, still_valid, streamed

COMMENT_SECONDS: Final = 15.0
TOKEN_SECONDS: Final = 5.0
"""How often the token is looked at: it may have expired or been withdrawn."""
SEARCHING_SECONDS: Final = 1.0
BEHIND: Final = 100_000
"""A stream without a filter ends if it is further behind: its client reads too slowly."""
TROUBLE_SECONDS: Final = 1.0
TURN_LIMIT_SECONDS: Final = 1.0
_MOST: Final = 20
IDS: Final = ("order_id", "correlation_id", "trace_id")
"""Filters that are columns of the log with an index, the most selective first."""

Word = Annotated[str, Field(min_length=1, max_length=255)]
Words = Annotated[list[Word], Field(max_length=_MOST)]


class Filters(BaseModel):
    """What a stream sends. A record passes if it fits all filters; of `topic` and `type` one value is enough."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[str | None, Field(max_length=100, description="Begin behind this cursor")] = None
    since: Annotated[
        Timestamp | None, Field(description="Begin with what arrived after this time, if there is no cursor")
    ] = None
    topic: Annotated[Words, Field(description="Repeat it for several")] = []
    type: Annotated[Words, Field(description="Repeat it for several")] = []
    key: Annotated[Word | None, Field(description="The id of the aggregate")] = None
    order_id: UUID | None = None
    correlation_id: UUID | None = None
    trace_id: Annotated[UUID | None, Field(description="The trace of W3C `traceparent`")] = None
    partner: Word | None = None
    item: Annotated[Word | None, Field(description="The data has this text as a whole value, such as an item id")] = (
        None
    )
    text: Annotated[Word | None, Field(description="The data contains this text; case does not matter")] = None

    @property
    def indexed(self) -> tuple[str | None, object]:
        """Return the column whose index serves the filters, and its value."""
        indexed = (each for each in (*IDS, "partner") if getattr(self, each) is not None)
        name = next(indexed, None)
        return name, None if name is None else getattr(self, name)

    @property
    def any(self) -> bool:
        return bool(self.model_fields_set - {"after", "since"})

    def passes(self) -> "Passes":
        return Passes(self)


class Passes:
    """The filters, prepared for many records."""

    def __init__(self, filters: Filters) -> None:
        self._topics, self._types = frozenset(filters.topic), frozenset(filters.type)
        self._key, self._partner = filters.key, filters.partner
        self._ids = {name: id for name in IDS if (id := getattr(filters, name)) is not None}
        self._item = None if filters.item is None else json.dumps(filters.item, ensure_ascii=False).encode()
        self._text = None if filters.text is None else filters.text.lower()

    def __call__(self, entry: Entry) -> bool:
        return (
            (not self._topics or entry.topic in self._topics)
            and (not self._types or entry.type in self._types)
            and (self._key is None or entry.key == self._key)
            and all(entry.row[name] == id for name, id in self._ids.items())
            and (self._partner is None or entry.partner == self._partner)
            and (self._item is None or self._item in entry.value)
            and (self._text is None or self._text in entry.value.decode("utf-8", "replace").lower())
        )


class EventStream(Response):
    """The answer of a stream. It ends with the process, with the token, and with its client."""

    media_type = "text/event-stream"

    def __init__(
        self, database: Database, tail: Tail, request: Request, head: Head, position: int, filters: Filters
    ) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._database, self._tail, self._request = database, tail, request
        self._head, self._position, self._filters = head, position, filters
        self._passes = filters.passes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        without_body = streamed(self._request)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if not without_body:
            gone = asyncio.create_task(_gone(receive))
            try:
                with self._tail.stream():
                    async for chunk in self._chunks(gone):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                abandon(gone)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self, gone: "asyncio.Task[None]") -> AsyncIterator[bytes]:
        yield self._comment()
        wrote = looked = searched = time.monotonic()
        while not gone.done() and (turn := self._tail.turn) is not None:
            now = time.monotonic()
            if now - looked > TOKEN_SECONDS:
                if not await still_valid(self._request):
                    return
                looked = now
            entries = self._tail.after(self._position)
            older = entries is None
            if entries is None:
                if not self._filters.any and self._left() > BEHIND:
                    yield self._event("behind")
                    return
                entries = await self._older()
            elif entries:
                self._position = entries[-1].position
            if chunk := b"".join(entry.message for entry in entries if self._passes(entry)):
                yield chunk
                wrote = time.monotonic()
            elif older and now - searched > SEARCHING_SECONDS:
                yield self._event("searching")
                wrote = searched = now
            elif now - wrote > COMMENT_SECONDS:
                yield self._comment()
                wrote = now
            if not self._same_log():
                return
            if not older:
                await asyncio.wait({gone, turn}, timeout=TURN_LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    def _same_log(self) -> bool:
        """Return whether the tail reads the log to which the stream's cursors belong."""
        return self._tail.head is None or self._tail.head.epoch == self._head.epoch

    def _left(self) -> int:
        """Return how many records are still to be looked at."""
        return max(0, (self._tail.head or self._head).position - self._position)

    async def _older(self) -> Sequence[Entry]:
        """Read the next records from the table. If an index finds no more, go on where the tail is."""
        at = self._tail.head or self._head
        by, value = self._filters.indexed
        try:
            rows = await views.behind(self._database, self._position, READ, by, value)
        except Exception as error:
            if not is_transient(error):
                raise
            await asyncio.sleep(TROUBLE_SECONDS)
            return ()
        if rows:
            self._position = rows[-1]["position"]
        if by is not None and len(rows) < READ:
            self._position = max(self._position, at.position)
        return [Entry(row, self._head) for row in rows]

    def _event(self, name: str) -> bytes:
        cursor = self._head.cursor(self._position)
        data = json.dumps({"cursor": cursor, "left": self._left()})
        return f"id: {cursor}\nevent: {name}\ndata: {data}\n\n".encode()

    def _comment(self) -> bytes:
        """Return a comment with the cursor. It keeps the connection open, and a client that returns goes on there."""
        return f": here\nid: {self._head.cursor(self._position)}\n\n".encode()


async def _gone(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
