"""Measure floors for the loads that were measured before. The workers are stopped.

The floor of the processor time is the sum of parts that no design with these requests, rows and events can leave out.
They are the request with its checks, the encoding of the order, its decisions (`floor.py`), the subscriber, and the
bare storing and sending of all that an order leaves (`bare.py`). A transaction has as many orders as inventory-service
reserved in one under the load. The floor of the latency at a low rate is the time of the bare steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench import floor
from bench.bench import Bench
from bench.cpu import used
from bench.helper import Helper
from bench.results import Row
from bench.stack import WORKERS
from bench.statistics import middle, percentile
from crossdock_events import TopicSpec

RATES: Final[Mapping[str, float | None]] = {"20/s": 20.0, "200/s": 200.0, "single": None, "batched": None}
"""The loads with a floor, and their orders a second."""
BATCHED: Final = "batched"
SLOW: Final = "20/s"
"""The load whose latency has a floor: its orders come one by one. They are sent for so many seconds a run."""
SLOW_SECONDS: Final = 8
NAMES: Final[Mapping[str, str]] = {
    SLOW: "CPU an order at 20/s, bare parts",
    "200/s": "CPU an order at 200/s, bare parts",
    "single": "CPU an order, single, bare parts",
    "batched": "CPU an order, batched, bare parts",
}
TOPIC: Final = "bench.bare"
PARTITIONS: Final = 12
DATABASES: Final[Mapping[str, str]] = {"order_service": "order-service", "inventory_service": "inventory-service"}


def measure(bench: Bench) -> None:
    kinds = [kind for kind in RATES if kind in bench.found.cpu]
    if not kinds:
        return
    bench.stop(*WORKERS)
    alone = floor.measure(bench.scale.accept, bench.scale.repeats)
    encoding, decisions = middle(alone.write), middle(alone.decide)
    requests = _requests(bench, kinds, middle(alone.check))
    for kind, bare, latencies in _stored_and_sent(bench, kinds):
        subscriber = bench.found.cpu[kind].get("subscriber", 0.0)
        note = (
            f"request {requests[kind]:.0f} µs, encoding {encoding:.0f}, decisions {decisions:.0f}, "
            f"subscriber {subscriber:.0f}, rows and events {middle(bare):.0f}; "
            f"{bench.found.gathered[kind]:.1f} orders a transaction"
        )
        sums = [requests[kind] + encoding + decisions + subscriber + each for each in bare]
        unit, scaled = ("µs", sums) if RATES[kind] is None else ("ms", [each / 1e3 for each in sums])
        bench.add(Row(NAMES[kind], scaled, unit, better="less", note=note))
        if kind == SLOW:
            for share in (0.5, 0.99):
                name = f"Accepted to confirmed at {kind}, p{share * 100:.0f}, bare parts"
                bench.add(Row(name, [percentile(each, share) * 1e3 for each in latencies], "ms", better="less"))


def _requests(bench: Bench, kinds: Sequence[str], check: float) -> dict[str, float]:
    """Return the processor time of loader and server for an order that is checked and not stored.

    No such server takes batches. Their time is that of the loader under the whole load, and of the checks alone.
    """
    scale, opened = bench.scale, bench.opened
    environment = opened.environment(opened.stack.dsn("order-service"))
    found = {BATCHED: bench.found.cpu.get(BATCHED, {}).get("loader", 0.0) + check}
    with opened.process("checks-only", "bench.validate_only", "api", environment=environment) as (url, pid):
        meter = opened.meter({"server": pid})
        opened.load(scale.warm, url=url, **bench.single)
        for kind in kinds:
            if kind == BATCHED:
                continue
            count = _orders(kind, scale.accept, scale.accept // 5)
            bench.stage(f"checking orders, {kind}: {count:,} orders")
            before = meter.read()
            opened.load(count, url=url, rate=RATES[kind], **bench.single)
            spent = used(before, meter.read())
            found[kind] = (spent["server"] + spent["loader"]) * 1e6 / count
    return found


def _orders(kind: str, closed: int, steady: int) -> int:
    """Return the orders of a run, for a closed load and for a steady one."""
    if kind == SLOW:
        return SLOW_SECONDS * round(RATES[kind] or 0)
    return closed if RATES[kind] is None else steady


def _stored_and_sent(bench: Bench, kinds: Sequence[str]) -> Iterator[tuple[str, list[float], list[list[float]]]]:
    """Yield each load, its processor time of rows and events, and the seconds of each transaction's steps, by run.

    The processor time is in µs an order, with PostgreSQL and Kafka.
    """
    scale, opened = bench.scale, bench.opened
    opened.stack.servers.topics.ensure([TopicSpec(TOPIC, PARTITIONS)])
    job = {
        "origins": {database: opened.stack.dsn(service) for database, service in DATABASES.items()},
        "targets": {database: opened.migrated(f"bench_bare_{database}", database) for database in DATABASES},
        "kafka": opened.stack.kafka,
        "topic": TOPIC,
    }
    skip = 0
    with Helper("bench.bare") as helper:
        meter = opened.meter({"bare": helper.pid})
        for kind in kinds:
            rate, gathered, runs = RATES[kind], bench.found.gathered[kind], 1 + scale.repeats
            count = _orders(kind, scale.bare, scale.bare // 3)
            bench.stage(f"rows and events alone, {kind}: {scale.repeats} times {count:,} orders")
            helper.ask({"prepare": job | {"skip": skip, "count": count * runs}})
            skip += count * runs
            spent: list[Mapping[str, float]] = []
            latencies: list[list[float]] = []
            for number in range(runs):
                run = {"topic": TOPIC, "begin": number / runs, "end": (number + 1) / runs}
                before = meter.read()
                seconds = 0.0 if rate is None else gathered / rate
                done = helper.ask({"run": run | {"groups": max(1, round(count / gathered)), "seconds": seconds}})
                latencies.append(done["latencies"])
                spent.append(used(before, meter.read()))
            micros = [_ours(each) * 1e6 / count for each in spent]
            yield kind, micros[1:], latencies[1:]  # the first run makes the plans


def _ours(spent: Mapping[str, float]) -> float:
    return sum(
        seconds
        for name, seconds in spent.items()
        if name in ("bare", "kafka", "postgres") or name.startswith("postgres bench_bare")
    )
