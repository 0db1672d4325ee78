"""Measure all rows of the table in one run."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bench import garbage, goods, insert, results
from bench.results import Results, Row
from bench.stack import PARTNER, SCOPES, SERVICES, BenchStack, Load, bench_stack
from bench.statistics import middle, percentile
from bench.twin import common as twin
from bench.twin.prepare import prepare
from crossdock_local.servers import jars
from crossdock_local.servers.postgres import MAJOR
from order_service.orders.batch import GROUP

WORKERS = ("order-service.worker", "inventory-service.worker")
APIS = ("order-service.api", "inventory-service.api")
BATCH_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of the bench. Most fields are orders a run; each row has `repeats` runs."""

    items: int = goods.ITEMS
    repeats: int = 3
    warm: int = 4_000
    accept: int = 5_000
    accept_batched: int = 6_000
    single: int = 8_000
    batched: int = 16_000
    batch: int = 1_000
    steady_rate: int = 200
    steady_seconds: int = 15
    twin: int = 600
    connections: int = 128
    garbage_share: float = 1.0


FULL = Scale()
TINY = Scale(
    items=50, repeats=1, warm=50, accept=100, accept_batched=100, single=100, batched=200, batch=50,
    steady_rate=50, steady_seconds=1, twin=30, connections=8, garbage_share=0.01,
)  # fmt: skip
"""Enough to check that every row can be measured. Its numbers mean nothing."""


def run(scale: Scale, console: Console) -> Results:
    began = time.monotonic()
    found = Results(
        results.machine(str(MAJOR), jars.KAFKA),
        f"Synthetic: {scale.items:,} items in {len(goods.LOCATIONS)} places, popularity by Zipf, stock for all; "
        f"orders of {goods.LINES} lines, 1-6 units each, with address; {scale.connections} connections single, "
        f"{BATCH_CONNECTIONS} batched by {scale.batch:,} lines.",
        load_before=results.load_average(),
    )

    def stage(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {what}[/]", highlight=False)

    stage("starting PostgreSQL, Kafka and the services, and importing items and stock")
    with bench_stack(scale.items) as opened:
        measure(opened, scale, found, stage)
        stage("stopping")
    found.seconds = time.monotonic() - began
    found.load_after = results.load_average()
    return found


def measure(
    opened: BenchStack, scale: Scale, found: Results, stage: Callable[[str], None], *, alone: bool = True
) -> None:
    """Measure all rows. `alone`: stop the processes that later rows do not need; else keep them running."""
    _end_to_end(opened, scale, found, stage)
    _garbage(opened, scale, found, stage)
    if alone:
        opened.stop(*WORKERS)
    _accept(opened, scale, found, stage)
    if alone:
        opened.stop(*APIS)
    _twin(opened, scale, found, stage)


def _end_to_end(opened: BenchStack, scale: Scale, found: Results, stage: Callable[[str], None]) -> None:
    subscriber = opened.subscriber()
    meter = opened.meter({"subscriber": subscriber.pid})
    stage("warming up")
    opened.flow(subscriber, meter, scale.warm, connections=scale.connections)
    opened.flow(subscriber, meter, scale.warm, connections=BATCH_CONNECTIONS, batch=scale.batch)
    # Before the heavy loads, because a disk that is still writing their data delays each commit.
    rate, seconds = scale.steady_rate, scale.steady_seconds
    stage(f"{rate} orders a second for {seconds} s")
    steady = opened.flow(subscriber, meter, rate * seconds, connections=scale.connections, rate=float(rate))
    for share, limit in ((0.5, None), (0.99, 150.0)):
        found.rows.append(
            Row(
                f"Accepted to confirmed, p{share * 100:.0f}",
                [percentile(steady.latencies, share) * 1e3],
                "ms",
                limit,
                "less",
                f"at {rate} orders/s for {seconds} s; POST to answer "
                f"{percentile(steady.load.posted_to_answered, share) * 1e3:.1f} ms",
            )
        )
    found.cpu[f"{rate}/s"] = results.per_order(steady.cpu, rate * seconds)
    kinds: list[tuple[str, int, float, dict[str, Any]]] = [
        ("single", scale.single, 1_500, {"connections": scale.connections}),
        ("batched", scale.batched, 4_000, {"connections": BATCH_CONNECTIONS, "batch": scale.batch}),
    ]
    for name, count, target, load in kinds:
        stage(f"end to end, {name}: {scale.repeats} times {count:,} orders")
        flows = [opened.flow(subscriber, meter, count, **load) for _ in range(scale.repeats)]
        loads = middle([flow.load.loader_share for flow in flows])
        found.rows.append(
            Row(
                f"End to end, {name}",
                [flow.rate for flow in flows],
                "orders/s",
                target,
                note=f"first POST to last OrderConfirmed at the subscriber; the loader took {loads:.0%} of a core",
            )
        )
        each = [results.per_order(flow.cpu, count) for flow in flows]
        found.cpu[name] = {process: middle([one.get(process, 0.0) for one in each]) for process in each[0]}


def _accept(opened: BenchStack, scale: Scale, found: Results, stage: Callable[[str], None]) -> None:
    """Measure accepting orders, compared with only validating them, while the workers are stopped."""
    stage(f"accepting beside validating only: {scale.repeats} times {scale.accept:,} orders each")
    environment = opened.environment(opened.stack.dsn("order-service"))
    accepted: list[Load] = []
    validated: list[Load] = []
    with opened.process("validate-only", "bench.validate_only", "api", environment=environment) as (url, _):
        opened.load(scale.warm, url=url, connections=scale.connections)
        for _ in range(scale.repeats):
            validated.append(opened.load(scale.accept, url=url, connections=scale.connections))
            accepted.append(opened.load(scale.accept, connections=scale.connections))
    ratios = [one.rate / other.rate for one, other in zip(accepted, validated, strict=True)]
    note = f"loader {middle([each.loader_share for each in accepted]):.0%} of a core; the workers stopped"
    found.rows += [
        Row("Accept, POST /v1/orders", [each.rate for each in accepted], "orders/s", note=note),
        Row("Validate only, same server and route", [each.rate for each in validated], "orders/s"),
        Row("Accept ÷ validate only", ratios, "times", 0.6),
    ]
    stage(f"accepting batches beside inserting their rows: {scale.repeats} times {scale.accept_batched:,}")
    loads = [
        opened.load(scale.accept_batched, connections=BATCH_CONNECTIONS, batch=scale.batch)
        for _ in range(scale.repeats)
    ]
    dsn = opened.database("bench_insert")
    opened.migrate("order_service", dsn)
    inserted = insert.rows_per_second(
        opened.stack.dsn("order-service"), dsn, scale.accept_batched, scale.repeats, BATCH_CONNECTIONS
    )
    found.rows += [
        Row("Accept, NDJSON", [each.rate for each in loads], "orders/s", note="the workers stopped"),
        Row(
            "Insert the same rows and no more",
            inserted,
            "orders/s",
            note=f"asyncpg, unnest, {GROUP} orders a transaction",
        ),
        Row("NDJSON ÷ insert", [middle([each.rate for each in loads]) / middle(inserted)], "times"),
    ]


def _garbage(opened: BenchStack, scale: Scale, found: Results, stage: Callable[[str], None]) -> None:
    """Measure the longest gap of the event loop for each route that reads a body, and show the worst of each type."""
    stage("feeding garbage to every route that reads a body")
    token = opened.stack.token(PARTNER, (*SCOPES, "ops"))
    gaps = [
        gap
        for service in SERVICES
        for gap in garbage.feed(
            opened.stack.url(service),
            [opened.stack.ops_url(f"{service}.{role}") for role in ("api", "worker")],
            token,
            scale.garbage_share,
        )
    ]
    for kind in garbage.KINDS:
        fed = [gap for gap in gaps if gap.route.media_type == kind]
        worst = max(fed, key=lambda gap: gap.milliseconds)
        note = f"{worst.kind} to {worst.route.method} {worst.route.path}; {len(fed)} routes fed"
        found.rows.append(Row(f"Longest gap, {kind}", [worst.milliseconds], "ms", 100.0, "less", note))


def _twin(opened: BenchStack, scale: Scale, found: Results, stage: Callable[[str], None]) -> None:
    """Measure the twin with the same orders on the same servers, while Crossdock is stopped."""
    stage(f"the ordinary twin: {scale.repeats} times {scale.twin:,} orders")
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
        subscriber = opened.subscriber(twin.CONFIRMED, "")
        meter = opened.meter(pids | {"subscriber": subscriber.pid})
        load: dict[str, Any] = {"url": url, "path": "/orders", "connections": scale.connections}
        opened.flow(subscriber, meter, max(1, scale.twin // 5), **load)
        flows = [opened.flow(subscriber, meter, scale.twin, **load) for _ in range(scale.repeats)]
    found.cpu["twin"] = results.per_order(flows[-1].cpu, scale.twin)
    found.rows.append(
        Row(
            "Ordinary twin, end to end",
            [flow.rate for flow in flows],
            "orders/s",
            note="FastAPI, ORM session per request, one message at a time; no outbox, no inbox, no ledger",
        )
    )
    ordinary = middle([flow.rate for flow in flows])
    for name, target in (("single", 8), ("batched", 20)):
        ours = next(row for row in found.rows if row.name == f"End to end, {name}")
        found.rows.append(Row(f"End to end, {name} ÷ twin", [rate / ordinary for rate in ours.runs], "times", target))
