"""Measure the processor time that the services and their PostgreSQL use without any order."""

import time

from bench.bench import Bench
from bench.cpu import used
from bench.results import Row
from bench.stack import SERVICES


def measure(bench: Bench) -> None:
    seconds = bench.scale.idle_seconds
    meter = bench.meter
    bench.stage(f"no orders for {seconds} s")
    before, began = meter.read(), time.monotonic()
    time.sleep(seconds)
    spent, elapsed = used(before, meter.read()), time.monotonic() - began
    ours = {name: each for name, each in spent.items() if each and name.startswith((*SERVICES, "postgres"))}
    shares = {name: each / elapsed * 100 for name, each in ours.items()}
    parts = ", ".join(f"{name} {share:.1f}" for name, share in shares.items())
    bench.add(Row("Idle", [sum(shares.values())], "% of a core", 2.0, "less", f"services and PostgreSQL: {parts}"))
