"""Measure the processor time that the services and their PostgreSQL use without any order."""

import time
from functools import partial

import asyncpg

from bench import multiply
from bench.bench import Bench
from bench.cpu import used
from bench.results import Row
from bench.stack import SERVICES
from crossdock_cli.waiting import in_thread


def measure(bench: Bench) -> None:
    seconds = bench.scale.idle_seconds
    meter = bench.meter
    for service in SERVICES:
        in_thread(partial(_settle, bench.opened.stack.dsn(service), service.replace("-", "_")))
    bench.stage(f"no orders for {seconds} s")
    before, began = meter.read(), time.monotonic()
    time.sleep(seconds)
    spent, elapsed = used(before, meter.read()), time.monotonic() - began
    ours = {name: each for name, each in spent.items() if each and name.startswith((*SERVICES, "postgres"))}
    shares = {name: each / elapsed * 100 for name, each in ours.items()}
    parts = ", ".join(f"{name} {share:.1f}" for name, share in shares.items())
    bench.add(Row("Idle", [sum(shares.values())], "% of a core", 2.0, "less", f"services and PostgreSQL: {parts}"))


async def _settle(dsn: str, database: str) -> None:
    """Vacuum after the orders of the warm-up. Otherwise autovacuum does so, in some runs within the measured time."""
    sql = await asyncpg.connect(dsn)
    try:
        await multiply.settle(sql, database)
    finally:
        await sql.close()
