"""Measure the memory of each process after the load before, and the time in which each service process starts."""

import time

from bench.bench import Bench
from bench.results import Row
from bench.stack import APIS, WORKERS


def measure(bench: Bench) -> None:
    stack = bench.opened.stack
    for handle in stack.handles():
        if handle.alive and handle.name != "issuer":
            bench.add(Row(f"Memory, {handle.name}", [handle.memory / 2**20], "MiB", better="less"))
    bench.stage("restarting each process")
    for name in (*WORKERS, *APIS)[: bench.scale.restarted]:
        process = stack.process(name)
        process.stop()
        began = time.monotonic()
        process.start()
        process.wait_ready()
        bench.add(Row(f"Start-up, {name}", [time.monotonic() - began], "s", better="less"))
