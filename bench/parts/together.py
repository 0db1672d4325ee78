"""Measure the whole path with one process of each service, API and worker together, and the memory that this saves."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.bench import Bench
from bench.results import Row
from bench.stack import APIS, SERVICES, WORKERS
from crossdock_local.processes import memory_of

ONE: Final = "one process a service"


def measure(bench: Bench) -> None:
    scale, opened = bench.scale, bench.opened
    bench.warm()
    ordinary = sum(opened.stack.process(name).memory for name in (*APIS, *WORKERS))
    bench.stage("starting one process of each service")
    with _together(bench) as (url, pids):
        meter = opened.meter(pids | {"subscriber": bench.subscriber.pid})
        for name, count, load in (("single", scale.single, bench.single), ("batched", scale.batched, bench.batched)):
            opened.flow(bench.subscriber, meter, scale.warm // 2, url=url, **load)
            bench.stage(f"end to end with {ONE}, {name}: {scale.repeats} times {count // 4:,} orders")
            flows = [opened.flow(bench.subscriber, meter, count // 4, url=url, **load) for _ in range(scale.repeats)]
            cpu_an_order = bench.note(f"{name}, {ONE}", flows)
            bench.add(
                Row(f"End to end, {name}, {ONE}", [flow.rate for flow in flows], "orders/s"),
                Row(f"CPU an order, {name}, {ONE}", cpu_an_order, "µs", better="less"),
            )
        memory = sum(memory_of(pid) for pid in pids.values())
    bench.add(
        Row("Memory, API and worker of both services", [ordinary / 2**20], "MiB", better="less"),
        Row(f"Memory, both services, {ONE}", [memory / 2**20], "MiB", better="less"),
    )


@contextmanager
def _together(bench: Bench) -> Iterator[tuple[str, dict[str, int]]]:
    """Run one process of each service in place of the API and the worker. Yield the URL for orders, and the pids."""
    opened = bench.opened
    apart = [opened.stack.process(name) for name in (*APIS, *WORKERS)]
    try:
        for each in apart:
            each.stop()
        with ExitStack() as running:
            found = {}
            for service in SERVICES:
                environment = opened.environment(opened.stack.dsn(service))
                process = opened.process(f"{service}.all", service.replace("-", "_"), "all", environment=environment)
                found[service] = running.enter_context(process)
            url, _ = found["order-service"]
            yield url, {f"{service}.all": pid for service, (_, pid) in found.items()}
    finally:
        for each in apart:
            each.start()
        for each in apart:
            each.wait_ready()
