"""Hold what the parts of the measurement share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from bench.cpu import Meter
from bench.results import Results, Row
from bench.watch.feeder import Feeder
from crossdock_local.stack import Stack

SERVICE: Final = "analytics-service"
WAIT_SECONDS: Final = 300.0
TIMES: Final = "SELECT position, kafka_time FROM log WHERE position > $1"


@dataclass(frozen=True, slots=True)
class Size:
    """`events` fill the log. `streams` follow it at `rate` events a second, and so does the page in a browser.

    There are `searches` of each kind over so many `orders`.
    """

    events: int = 100_000
    rate: int = 500
    streams: int = 100
    seconds: float = 20.0
    orders: int = 5_000_000
    searches: int = 50


FULL: Final = Size()
TINY: Final = Size(events=400, rate=100, streams=3, seconds=2.0, orders=1_000, searches=2)
"""Enough to check that every row can be measured. Its numbers mean nothing."""


@dataclass
class Watch:
    """A part measures its rows with this object."""

    stack: Stack
    size: Size
    feeder: Feeder
    found: Results
    stage: Callable[[str], None]

    def add(self, *rows: Row) -> None:
        self.found.rows += rows

    async def sql(self) -> asyncpg.Connection:
        connection: asyncpg.Connection = await asyncpg.connect(self.stack.dsn(SERVICE))
        return connection

    async def times(self, after: int) -> Mapping[int, float]:
        """Return when Kafka got each record behind a position of the log, in seconds since the epoch."""
        sql = await self.sql()
        try:
            return {row["position"]: row["kafka_time"].timestamp() for row in await sql.fetch(TIMES, after)}
        finally:
            await sql.close()

    def meter(self) -> Meter:
        return Meter({each.name: each.pid for each in self.stack.handles() if each.pid is not None})
