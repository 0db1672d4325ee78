"""Measure how fast the worker reads events from Kafka into the log and all projections, and what that costs."""

import asyncio
import time
from typing import Final

from bench.cpu import used
from bench.results import Row
from bench.stack import BenchFailed
from bench.watch.watching import SERVICE, WAIT_SECONDS, Watch
from crossdock_cli.waiting import in_thread

LOGGED: Final = "SELECT position FROM log_head"
FOLLOWED: Final = """
    SELECT coalesce(sum(next), 0)::bigint FROM consumer_position
    JOIN projection ON projection.consumer_group = consumer_position.consumer_group AND state = 'current'
    WHERE projection.name = 'orders_now' AND topic = 'crossdock.orders.v1'
       OR projection.name = 'levels_now' AND topic = 'crossdock.stock.v1'
"""
SIZE: Final = "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'log'::regclass"
LEAST: Final = 5_000


def measure(watch: Watch) -> None:
    count = watch.size.events
    watch.stage(f"reading {count:,} events into the log and the projections")
    worker = watch.stack.process(f"{SERVICE}.worker")
    worker.stop()
    in_thread(lambda: watch.feeder.send(count))
    worker.start()
    worker.wait_ready()
    meter = watch.meter()
    before, began, first = meter.read(), time.monotonic(), in_thread(lambda: _progress(watch))
    in_thread(lambda: _until(watch, count))
    spent, seconds = used(before, meter.read()), time.monotonic() - began
    done = max(1, count - first)
    micros = [spent.get(name, 0.0) * 1e6 / done for name in (f"{SERVICE}.worker", "postgres analytics_service")]
    watch.add(
        Row("Kafka to log and projections", [done / seconds], "events/s", LEAST),
        Row("CPU an event, worker", micros[:1], "µs", better="less"),
        Row("CPU an event, PostgreSQL", micros[1:], "µs", better="less"),
        Row("Log, an event", [in_thread(lambda: _size(watch)) / count], "bytes", better="less"),
    )


async def _progress(watch: Watch) -> int:
    """Return how many events both the log and the projections have."""
    sql = await watch.sql()
    try:
        return min(int(await sql.fetchval(LOGGED)), int(await sql.fetchval(FOLLOWED)))
    finally:
        await sql.close()


async def _until(watch: Watch, count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (done := await _progress(watch)) < count:
        if time.monotonic() > deadline:
            raise BenchFailed(f"{SERVICE} has read {done:,} of {count:,} events in {WAIT_SECONDS:.0f} s.")
        await asyncio.sleep(0.05)


async def _size(watch: Watch) -> int:
    sql = await watch.sql()
    try:
        return int(await sql.fetchval(SIZE))
    finally:
        await sql.close()
