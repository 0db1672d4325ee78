"""Measure the ordinary twin with the same orders on the same servers, while Crossdock is stopped."""

from contextlib import ExitStack
from typing import Any

import psutil

from bench import goods
from bench.bench import Bench
from bench.parts import floors
from bench.results import Row
from bench.stack import APIS, WORKERS, Flow
from bench.statistics import middle
from bench.twin import common
from bench.twin.prepare import prepare


def measure(bench: Bench) -> None:
    """Add a row for the twin, and its ratio to each row "End to end" and to the rate of the bare parts alone."""
    bench.stop(*WORKERS, *APIS)
    bench.stage(f"the ordinary twin: {bench.scale.repeats} times {bench.scale.twin:,} orders")
    flows = _flows(bench)
    bench.note("twin", flows)
    note = "FastAPI, ORM session per request, one message at a time; no outbox, no inbox, no ledger"
    bench.add(Row("Ordinary twin, end to end", [flow.rate for flow in flows], "orders/s", note=note))
    ordinary = middle([flow.rate for flow in flows])
    for name, target in (("single", 15), ("batched", 30)):
        for ours in [row for row in bench.found.rows if row.name == f"End to end, {name}"]:
            bench.add(Row(f"End to end, {name} ÷ twin", [rate / ordinary for rate in ours.runs], "times", target))
        for least in [row for row in bench.found.rows if row.name == floors.NAMES[name]]:
            rates = [(psutil.cpu_count() or 1) * 1e6 / each for each in least.runs]
            note = "all cores do nothing else, and never wait"
            ratio = f"End to end, {name} ÷ twin, bare parts alone"
            bench.add(Row(ratio, [rate / ordinary for rate in rates], "times", note=note))


def _flows(bench: Bench) -> list[Flow]:
    opened, scale = bench.opened, bench.scale
    orders, inventory = opened.database("twin_orders"), opened.database("twin_inventory")
    prepare(opened.stack.kafka, orders, inventory, goods.Assortment(scale.items))
    with ExitStack() as running:
        api = opened.process(
            "twin-api", "bench.twin.orders", "api", environment=opened.environment(orders), answers="http"
        )
        url, pid = running.enter_context(api)
        pids = {"twin api": pid, "twin order worker": 0, "twin inventory worker": 0}
        for name, module, arguments, dsn in (
            ("twin order worker", "bench.twin.orders", ("worker",), orders),
            ("twin inventory worker", "bench.twin.inventory", (), inventory),
        ):
            _, pids[name] = running.enter_context(
                opened.process(
                    name.replace(" ", "-"), module, *arguments, environment=opened.environment(dsn), answers="nothing"
                )
            )
        subscriber = opened.subscriber(topic=common.CONFIRMED)
        meter = opened.meter(pids | {"subscriber": subscriber.pid})
        load: dict[str, Any] = {"url": url, "path": "/orders", **bench.single}
        opened.flow(subscriber, meter, max(1, scale.twin // 5), **load)
        return [opened.flow(subscriber, meter, scale.twin, **load) for _ in range(scale.repeats)]
