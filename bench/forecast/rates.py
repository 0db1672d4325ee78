"""Measure how fast forecast-service takes orders and imported rows into its demand, and what its processes hold."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import asyncpg
import httpx

from bench import lifeline
from bench.forecast.size import Size
from bench.results import Row
from bench.stack import BenchFailed
from bench.watch.feeder import LINES, Feeder
from crossdock_chassis import new_id
from crossdock_cli.imports import import_file
from crossdock_cli.waiting import in_thread
from crossdock_events import Event
from crossdock_events.orders import Destination, OrderLine, OrderPlaced
from crossdock_events.reservations import Allocation, ReservedLine, StockReserved
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack

SERVICE: Final = "forecast-service"
ITEMS: Final = 4_000
FIRST: Final = date(2025, 1, 1)
WAIT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.02
MEMORY: Final = {"runner": 130.0}

FOLLOWED: Final = """
    SELECT coalesce(sum(next), 0)::bigint FROM consumer_position
    JOIN projection ON projection.consumer_group = consumer_position.consumer_group AND state = 'current'
    WHERE projection.name = 'demand' AND topic = ANY ('{crossdock.orders.v1,crossdock.reservations.v1}')
"""


def measure(size: Size) -> Iterator[Row]:
    """Run a stack of forecast-service alone and yield its rows. Raise BenchFailed if an event is not counted."""
    with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        for role in ("api", "worker", "runner"):
            memory = stack.process(f"{SERVICE}.{role}").memory / 2**20
            yield Row(f"Memory at rest, {role}", [memory], "MiB", MEMORY.get(role), "less")
        yield from _import(stack, size.imported)
        yield from _intake(stack, size.orders)


def _import(stack: Stack, rows: int) -> Iterator[Row]:
    """Import a tenth of the rows, then all of them: the memory must not grow with the file."""
    few, many = (_imported(stack, name, count) for name, count in (("FEW", max(1, rows // 10)), ("MANY", rows)))
    yield Row("Import of demand", [many[0]], "rows/s", 20_000)
    yield Row("Memory that an import adds", [few[1]], "MiB", better="less", note="with the process that parses")
    yield Row("Memory that ten times the rows add", [many[1] - few[1]], "MiB", 10, "less")


def _imported(stack: Stack, prefix: str, rows: int) -> tuple[float, float]:
    """Import rows of items of their own. Return the rows a second, and the memory in MiB that this took."""
    with tempfile.TemporaryFile() as file:
        file.write(b"item_id,day,quantity\n")
        for number in range(rows):
            day = FIRST + timedelta(days=number // ITEMS)
            file.write(f"{prefix}-{number % ITEMS},{day},{number % 7}\n".encode())
        file.seek(0)
        api, worker = (stack.process(f"{SERVICE}.{role}") for role in ("api", "worker"))
        before = api.memory + worker.memory
        most, began = before, time.monotonic()

        def look(_: object) -> None:
            nonlocal most
            most = max(most, api.memory + worker.memory)

        token = stack.token("bench", ("forecasts:read", "forecasts:write"))
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=WAIT_SECONDS) as client:
            import_file(client, stack.url(SERVICE), "demand", file, show=look)
        return rows / (time.monotonic() - began), (most - before) / 2**20


def _intake(stack: Stack, orders: int) -> Iterator[Row]:
    """Send orders while the worker is stopped, and measure from the first counted event on, without its start."""
    worker = stack.process(f"{SERVICE}.worker")
    worker.stop()
    in_thread(lambda: Feeder(stack, _events(orders)).send(2 * orders))
    worker.start()
    first, began = in_thread(lambda: _until(stack, 1))
    last, ended = in_thread(lambda: _until(stack, 2 * orders))
    rate = (last - first) / 2 / max(ended - began, LOOK_SECONDS)
    yield Row("Orders counted, of 3 lines and reserved", [rate], "orders/s", 3_000)


def _events(orders: int) -> Iterator[Event]:
    """Yield orders, each with its reservation."""
    for number in range(orders):
        order_id, first = new_id(), number * LINES
        items = [f"SKU-{(first + n) * 7919 % ITEMS}" for n in range(LINES)]
        yield OrderPlaced(
            order_id=order_id,
            partner="bench",
            reference=f"PO-{order_id}",
            channel="api",
            priority=5,
            partial=False,
            ship_to=Destination(country="US", region="US-OR"),
            currency="EUR",
            lines=tuple(
                OrderLine(line_id=str(n), item_id=item, quantity=2, unit_price=Decimal("1.99"), amount=Decimal("3.98"))
                for n, item in enumerate(items, start=1)
            ),
            total=Decimal("11.94"),
        )
        yield StockReserved(
            order_id=order_id,
            lines=tuple(
                ReservedLine(
                    line_id=str(n),
                    item_id=item,
                    requested=2,
                    reserved=2,
                    backordered=0,
                    allocations=(Allocation(location_id="main", quantity=2),),
                )
                for n, item in enumerate(items, start=1)
            ),
        )


async def _until(stack: Stack, count: int) -> tuple[int, float]:
    """Wait until so many events are counted. Return how many are, and when."""
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while (done := int(await sql.fetchval(FOLLOWED))) < count:
            if time.monotonic() > deadline:
                raise BenchFailed(f"{SERVICE} has counted {done:,} of {count:,} events in {WAIT_SECONDS:.0f} s.")
            await asyncio.sleep(LOOK_SECONDS)
        return done, time.monotonic()
    finally:
        await sql.close()
