"""Measure whether the rates hold while the tables grow: `python -m bench growth`.

The smallest size is placed over HTTP, by the most partners. SQL makes the other sizes of it (`multiply.py`). At each
size the same loads are measured, and each is compared with its rate at the smallest size.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench import goods
from bench.cpu import Meter
from bench.helper import Helper
from bench.multiply import TABLES, multiply, settle, take
from bench.results import Results, Row
from bench.scale import BATCH_CONNECTIONS
from bench.stack import SCOPES, BenchStack
from bench.statistics import middle
from crossdock_events.orders import OrderConfirmed

SIZES: Final = (10_000, 1_000_000, 10_000_000)
LEAST: Final = 0.7
SPARE_BYTES: Final = 4 << 30
"""Disk that must stay free beside the tables: WAL and temporary files."""
ROOM: Final = 1.2
"""Space that a table takes while it grows, relative to its rows afterwards."""


@dataclass(frozen=True, slots=True)
class Growth:
    """`sizes`: stored orders, the smallest first. `single` and `batched`: orders of one line in a run."""

    sizes: Sequence[int] = SIZES
    items: int = goods.ITEMS
    partners: Sequence[int] = (2, 50)
    lines: Sequence[int] = (1, 50)
    repeats: int = 3
    single: int = 3_000
    batched: int = 6_000
    batch: int = 1_000
    connections: int = 128
    copies: int = 10
    """Copies of the smallest size in one transaction."""

    def loads(self, tokens: Sequence[str]) -> dict[str, tuple[int, dict[str, Any]]]:
        """Return each load by its name, with its orders. Orders of many lines are fewer."""
        found: dict[str, tuple[int, dict[str, Any]]] = {}
        for partners in self.partners:
            for lines in self.lines:
                fewer = 1 if lines < 10 else 10
                common = {"tokens": tokens[:partners], "shape": goods.Shape(lines=lines)}
                name = f"{partners} partners, {lines} {'line' if lines == 1 else 'lines'}"
                single = {"connections": self.connections}
                batched = {"connections": BATCH_CONNECTIONS, "batch": self.batch // fewer}
                found[f"{name}, single"] = self.single // fewer, common | single
                found[f"{name}, batched"] = self.batched // fewer, common | batched
        return found


class Growing:
    """A stack whose orders grow."""

    def __init__(self, opened: BenchStack, growth: Growth, found: Results, stage: Callable[[str], None]) -> None:
        self._opened, self._growth, self._found, self._stage = opened, growth, found, stage
        partners = [f"partner-{number}" for number in range(1, max(growth.partners) + 1)]
        self._tokens = list(opened.stack.tokens(partners, SCOPES).values())
        self._subscriber: Helper = opened.subscriber(OrderConfirmed.ce_type)
        self._meter: Meter = opened.meter({"subscriber": self._subscriber.pid})
        self._smallest: dict[str, list[float]] = {}

    def run(self) -> None:
        """Measure all sizes that fit on the disk."""
        smallest, *larger = self._growth.sizes
        before = self._bytes()
        self._stage(f"placing {smallest:,} orders")
        self._opened.flow(
            self._subscriber, self._meter, smallest, tokens=self._tokens, connections=self._growth.connections
        )
        self._each(take)
        spent = {name: (size - before[name]) / smallest for name, size in self._bytes().items()}
        for name, size in spent.items():
            if size >= 1:
                self._found.rows.append(Row(f"Disk, {name}", [size], "bytes an order", better="less"))
        fitting = [size for size in larger if self._fits(size, sum(spent[name] for name in TABLES))]
        self._measure(smallest)
        have = 1
        for size in fitting:
            self._grow(have, size // smallest - 1)
            have = size // smallest
            self._measure(size)

    def _fits(self, size: int, bytes_an_order: float) -> bool:
        free = shutil.disk_usage(self._opened.stack.home.root).free
        needed = int(size * bytes_an_order * ROOM) + SPARE_BYTES
        about = f"{size:,} orders need {needed / 1e9:,.0f} GB, {free / 1e9:,.0f} GB are free"
        if needed <= free:
            self._stage(about)
            return True
        self._stage(f"{about}: this size does not fit and is left out")
        self._found.notes.append(f"Left out: {about}.")
        return False

    def _grow(self, first: int, last: int) -> None:
        """Insert the copies `first` to `last`."""
        for start in range(first, last + 1, self._growth.copies):
            end = min(last, start + self._growth.copies - 1)
            self._stage(f"making orders with SQL: {(end + 1) * self._growth.sizes[0]:,}")
            self._each(partial(multiply, first=start, last=end))
        self._stage("vacuuming")
        self._each(settle)

    def _measure(self, size: int) -> None:
        for name, (count, load) in self._growth.loads(self._tokens).items():
            self._stage(f"{size:,} orders stored; {name}: {self._growth.repeats} times {count:,} orders")
            rates = [
                self._opened.flow(self._subscriber, self._meter, count, **load).rate
                for _ in range(self._growth.repeats)
            ]
            self._found.rows.append(Row(f"{size:,} orders; {name}", rates, "orders/s"))
            smallest = self._smallest.setdefault(name, rates)
            if smallest is not rates:
                ratios = [rate / middle(smallest) for rate in rates]
                title = f"{size:,} ÷ {self._growth.sizes[0]:,} orders; {name}"
                self._found.rows.append(Row(title, ratios, "times", LEAST))

    def _each(self, work: Callable[[asyncpg.Connection, str], Awaitable[None]]) -> None:
        """Do the work in both databases at the same time."""

        async def on(database: str) -> None:
            sql = await asyncpg.connect(self._opened.stack.servers.databases.dsn(database))
            try:
                await work(sql, database)
            finally:
                await sql.close()

        async def on_both() -> None:
            await asyncio.gather(*map(on, TABLES))

        asyncio.run(on_both())

    def _bytes(self) -> dict[str, int]:
        """Return the bytes of each database and topic."""
        found: dict[str, int] = {}

        async def measure(sql: asyncpg.Connection, database: str) -> None:
            found[database] = await sql.fetchval("SELECT pg_database_size(current_database())")

        self._each(measure)
        return found | topics(self._opened.stack.home.broker)


def topics(broker: Path) -> dict[str, int]:
    """Return the bytes of each topic's log in the broker's folder."""
    found: dict[str, int] = {}
    for segment in broker.rglob("crossdock.*/*.log"):
        with suppress(FileNotFoundError):  # a segment may be deleted meanwhile
            topic = segment.parent.name.rpartition("-")[0]
            found[topic] = found.get(topic, 0) + segment.stat().st_size
    return found
