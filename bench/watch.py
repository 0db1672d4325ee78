"""Measure analytics-service: how fast it keeps the log with all projections, and what many live streams cost.

It writes events straight to Kafka, as the relays of the other services would, and starts only analytics-service.
"""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal

import asyncpg
import httpx
import psutil
from rich.console import Console

from bench import lifeline
from bench.cpu import Meter, used
from bench.stack import BenchFailed
from bench.statistics import percentile
from crossdock_chassis import new_id
from crossdock_chassis.messaging import clients
from crossdock_chassis.testing import envelope_of
from crossdock_cli.waiting import in_thread
from crossdock_events import Event
from crossdock_events.orders import OrderConfirmed, OrderLine, OrderPlaced
from crossdock_events.stock import Level, StockLevelChanged
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack

SERVICE = "analytics-service"
WAIT_SECONDS = 300.0
LINES = 3

LOGGED = "SELECT position FROM log_head"
FOLLOWED = """
    SELECT coalesce(sum(next), 0)::bigint FROM consumer_position
    JOIN projection ON projection.consumer_group = consumer_position.consumer_group AND state = 'current'
    WHERE projection.name = 'orders_now' AND topic = 'crossdock.orders.v1'
       OR projection.name = 'levels_now' AND topic = 'crossdock.stock.v1'
"""
SIZE = "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'log'::regclass"


def measure(console: Console, *, events: int, streams: int, rate: int, seconds: float) -> None:
    """Print the rows of the benchmark. Raise BenchFailed if the service does not keep up at all."""
    with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        worker = stack.process(f"{SERVICE}.worker")
        worker.stop()
        in_thread(lambda: _send(stack, events))
        worker.start()
        worker.wait_ready()
        meter = Meter({each.name: each.pid for each in stack.handles() if each.pid is not None})
        before, began = meter.read(), time.monotonic()
        first = in_thread(lambda: _progress(stack))
        console.print(f"{events:,} events on Kafka; {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
        in_thread(lambda: _until(stack, events))
        spent, took = used(before, meter.read()), time.monotonic() - began
        done = events - first
        console.print(f"Kafka → log and projections: {done / took:,.0f} events/s")
        for name in (f"{SERVICE}.worker", "postgres analytics_service"):
            console.print(f"  {name}: {spent.get(name, 0.0) * 1e6 / done:.0f} µs an event")
        console.print(f"  log: {in_thread(lambda: _size(stack)) / events:,.0f} bytes an event")
        before = meter.read()
        found = in_thread(lambda: _streams(stack, streams, rate, seconds))
        core = used(before, meter.read()).get(f"{SERVICE}.api", 0.0) / seconds
        console.print(
            f"{streams} streams at {rate} events/s: p50 {percentile(found, 0.5) * 1000:.0f} ms, "
            f"p99 {percentile(found, 0.99) * 1000:.0f} ms from Kafka to client; api {core:.0%} of a core"
        )


def _events(count: int) -> list[Event]:
    """Return events of orders and stock in the proportion of a day: placed, confirmed, and a level for each line."""
    found: list[Event] = []
    while len(found) < count:
        order_id = new_id()
        items = [f"SKU-{(len(found) + n) * 7919 % 4000}" for n in range(LINES)]
        lines = tuple(
            OrderLine(line_id=str(n), item_id=item, quantity=2, unit_price=Decimal("1.99"), amount=Decimal("3.98"))
            for n, item in enumerate(items, start=1)
        )
        named = {"order_id": order_id, "partner": "bench", "reference": f"PO-{order_id}"}
        found.append(
            OrderPlaced(
                **named, channel="api", priority=5, partial=False, currency="EUR", lines=lines, total=Decimal("11.94")
            )
        )
        found.append(OrderConfirmed(**named))
        found += [
            StockLevelChanged(
                item_id=item,
                levels=(Level(location_id="main", on_hand=1_000, reserved=2),),
                available=998,
                causes=("reservation",),
            )
            for item in items
        ]
    return found[:count]


async def _send(stack: Stack, count: int) -> None:
    producer = await clients.start_producer(stack.kafka, "bench")
    sequences: dict[str, int] = {}
    try:
        for event in _events(count):
            sequences[event.key] = sequences.get(event.key, 0) + 1
            message = envelope_of(event, sequence=sequences[event.key]).encode()
            headers = list(message.headers.items())
            await producer.send(message.topic, message.value, key=message.key, headers=headers)
        await producer.flush()
    finally:
        await clients.discard(producer)


async def _progress(stack: Stack) -> int:
    """Return how many events both the log and the projections have."""
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        return min(int(await sql.fetchval(LOGGED)), int(await sql.fetchval(FOLLOWED)))
    finally:
        await sql.close()


async def _until(stack: Stack, count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while await _progress(stack) < count:
        if time.monotonic() > deadline:
            raise BenchFailed(f"{SERVICE} has not read {count:,} events in {WAIT_SECONDS:.0f} s.")
        await asyncio.sleep(0.05)


async def _size(stack: Stack) -> int:
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        return int(await sql.fetchval(SIZE))
    finally:
        await sql.close()


async def _streams(stack: Stack, count: int, rate: int, seconds: float) -> Sequence[float]:
    """Return the delay of each record at each client. Raise BenchFailed if a client misses one."""
    tokens = [stack.token(f"bench-{n}", ["ops:read"]) for n in range(count)]
    wanted, delays = int(rate * seconds), [list[float]() for _ in range(count)]
    begun = [asyncio.Event() for _ in range(count)]

    async def read(n: int) -> None:
        headers = {"Authorization": f"Bearer {tokens[n]}"}
        address = f"{stack.url(SERVICE)}/v1/stream?type={OrderConfirmed.ce_type}"
        async with httpx.AsyncClient(timeout=None) as client, client.stream("GET", address, headers=headers) as answer:
            async for line in answer.aiter_lines():
                begun[n].set()
                if line.startswith("data: "):
                    at = line.partition('"key": "')[2].partition('"')[0]
                    delays[n].append(time.time() - sent[at])
                    if len(delays[n]) == wanted:
                        return

    sent: dict[str, float] = {}
    readers = [asyncio.create_task(read(n)) for n in range(count)]
    await asyncio.gather(*(each.wait() for each in begun))
    producer = await clients.start_producer(stack.kafka, "bench")
    try:
        began = time.monotonic()
        for n in range(wanted):
            event = OrderConfirmed(order_id=new_id(), partner="bench", reference="x")
            message = envelope_of(event, sequence=1).encode()
            sent[event.key] = time.time()
            await producer.send(message.topic, message.value, key=message.key, headers=list(message.headers.items()))
            if (ahead := n / rate - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(*readers)
    except TimeoutError:
        missing = sum(wanted - len(each) for each in delays)
        raise BenchFailed(f"{missing:,} records did not reach a stream.") from None
    finally:
        await clients.discard(producer)
    return [delay for each in delays for delay in each]
