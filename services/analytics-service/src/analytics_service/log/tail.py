"""The newest records of the log, read once for all streams of the process."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from analytics_service.log import views
from analytics_service.log.keep import CHANNEL
from analytics_service.log.views import Head, encoded, text_of
from crossdock_chassis import Database, abandon, hear, is_transient

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 0.05
"""The shortest time between two looks. So a stream writes at most 20 times a second, all that is new at once."""
POLL_SECONDS: Final = 1.0
TROUBLE_SECONDS: Final = 1.0
REST_SECONDS: Final = 30.0
READ: Final = 1_000
RING: Final = 10_000
RING_BYTES: Final = 64 << 20
OWN_BYTES: Final = 2_000
DATA_BYTES: Final = 32 << 10
"""Larger data is left out of messages, because a client that wants it can read it alone."""


class Entry:
    """A record with the fields that filters compare. Its message is encoded once, when the first stream sends it."""

    __slots__ = ("_head", "_message", "key", "partner", "position", "row", "topic", "type", "value")

    def __init__(self, row: asyncpg.Record, head: Head) -> None:
        self.row, self._head = row, head
        self._message: bytes | None = None
        self.position: int = row["position"]
        self.topic: str = row["topic"]
        self.type: str | None = row["type"]
        self.key = text_of(row["key"])
        self.partner: str | None = row["partner"]
        self.value: bytes = row["value"]

    @property
    def message(self) -> bytes:
        if self._message is None:
            data = encoded(self.row, self._head, most=DATA_BYTES)
            self._message = b"id: %s\ndata: %s\n\n" % (self._head.cursor(self.position).encode(), data)
        return self._message

    @property
    def bytes(self) -> int:
        """Return about how much memory the record takes in the ring."""
        return OWN_BYTES + 2 * len(self.value)


class Tail:
    """A part of the API process. While a stream is open it holds the newest records in a ring, encoded once.

    Positions have no gap, so a stream is a position in the ring. `turn` ends when there are new records.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ring: deque[Entry] = deque()
        self._bytes = 0
        self._streams = 0
        self._wanted, self._woken = asyncio.Event(), asyncio.Event()
        self.turn: asyncio.Future[None] | None = None
        self.head: Head | None = None
        self.progressed = time.monotonic()

    @property
    def running(self) -> bool:
        """Return whether streams can be open. They close when the process stops."""
        return self.turn is not None

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Keep the ring filled while the block runs."""
        self._streams += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._streams -= 1

    def after(self, position: int) -> Sequence[Entry] | None:
        """Return the records behind a position, None if the ring does not reach back so far."""
        if self.head is None or position > self.head.position:
            return ()
        missing = self.head.position - position
        if missing > len(self._ring):
            return None
        start = len(self._ring) - missing
        return [self._ring[n] for n in range(start, len(self._ring))]

    async def run(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        self.turn = asyncio.get_running_loop().create_future()
        try:
            while not stop.done():
                self.progressed = time.monotonic()
                if self._streams:
                    await self._follow(stop)
                else:
                    await self._rest(stop)
        finally:
            turn, self.turn = self.turn, None
            turn.set_result(None)
            abandon(stop)

    async def _rest(self, stop: "asyncio.Task[bool]") -> None:
        self._wanted.clear()
        wanted = asyncio.create_task(self._wanted.wait())
        await asyncio.wait([stop, wanted], timeout=REST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        abandon(wanted)

    async def _follow(self, stop: "asyncio.Task[bool]") -> None:
        """Fill the ring until no stream is open."""
        listening = asyncio.create_task(self._listen())
        try:
            while self._streams and not stop.done():
                try:
                    await self._look()
                    self.progressed = time.monotonic()
                except Exception as error:
                    if not is_transient(error):
                        raise
                    log.warning("cannot read the log: %s: %s", type(error).__name__, error)
                    await asyncio.wait([stop], timeout=TROUBLE_SECONDS)
                await asyncio.wait([stop], timeout=TURN_SECONDS)
                woken = asyncio.create_task(self._woken.wait())
                await asyncio.wait([stop, woken], timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                abandon(woken)
        finally:
            abandon(listening)
            self._forget()

    async def _look(self) -> None:
        self._woken.clear()
        now = await views.head(self._database)
        if self.head is None or self.head.epoch != now.epoch or now.position < self.head.position:
            self._forget()
            self.head = now
            self._end_turn()
        while self.head.position < now.position:
            rows = await views.behind(self._database, self.head.position, READ)
            if not rows:
                break
            for row in rows:
                self._append(Entry(row, now))
            self.head = Head(now.epoch, rows[-1]["position"], now.forgotten)
            self._end_turn()

    def _append(self, entry: Entry) -> None:
        self._ring.append(entry)
        self._bytes += entry.bytes
        while len(self._ring) > RING or self._bytes > RING_BYTES:
            self._bytes -= self._ring.popleft().bytes

    def _end_turn(self) -> None:
        assert self.turn is not None
        turn, self.turn = self.turn, asyncio.get_running_loop().create_future()
        turn.set_result(None)

    def _forget(self) -> None:
        self._ring.clear()
        self._bytes, self.head = 0, None

    async def _listen(self) -> None:
        """Look when a unit has appended. While the connection is lost, the poll finds its records."""
        while True:
            try:
                await hear(self._database, CHANNEL, "log", lambda _: self._woken.set())
            except Exception as error:
                log.warning("the tail of the log listens again: %s: %s", type(error).__name__, error)
            await asyncio.sleep(TROUBLE_SECONDS)
