"""Measure the whole path with a second worker of each service, to compare with what the model predicts (`model.py`)."""

from bench.bench import Bench
from bench.results import Row
from bench.stack import SERVICES


def measure(bench: Bench) -> None:
    scale, opened = bench.scale, bench.opened
    bench.warm()
    bench.stage("starting a second worker of each service")
    extra = [opened.stack.another("worker", service) for service in SERVICES]
    try:
        meter = opened.meter({"subscriber": bench.subscriber.pid})
        opened.flow(bench.subscriber, meter, scale.warm, **bench.batched)  # until the groups have shared the partitions
        for name, count, load in (("single", scale.single, bench.single), ("batched", scale.batched, bench.batched)):
            bench.stage(f"end to end with two workers, {name}: {scale.repeats} times {count // 4:,} orders")
            flows = [opened.flow(bench.subscriber, meter, count // 4, **load) for _ in range(scale.repeats)]
            bench.add(Row(f"End to end, {name}, two workers", [flow.rate for flow in flows], "orders/s"))
            bench.note(f"{name}, two workers", flows)
    finally:
        for worker in extra:
            worker.stop()
