"""Measure accepting orders, compared with validating them and with inserting their rows. The workers are stopped."""

from bench import floor, insert
from bench.bench import Bench
from bench.results import Row
from bench.scale import BATCH_CONNECTIONS
from bench.stack import WORKERS, Load
from bench.statistics import middle
from order_service.orders.batch import GROUP


def measure(bench: Bench) -> None:
    bench.stop(*WORKERS)
    parts = floor.measure(bench.scale.accept, bench.scale.repeats)
    bench.add(
        Row("Parse and check an order, alone", parts.check, "µs", better="less", note="in one process, no server"),
        Row("Make its event and rows, alone", parts.write, "µs", better="less", note="in one process, no database"),
        Row("Decode its events and decide, alone", parts.decide, "µs", better="less", note="both services, no server"),
    )
    write = middle(parts.write)
    validated = _beside_validating(bench, write)
    inserted = _beside_inserting(bench, middle(parts.check) + write)
    bare = [1e6 / (1e6 / each + write + 1e6 / inserted) / each for each in validated]
    bench.add(Row("Accept ÷ validate only, if storing were an insert", bare, "times"))


def _beside_validating(bench: Bench, write: float) -> list[float]:
    """Return the orders a second of each run that only validates. `write`: µs to make an order's event and rows."""
    scale, opened = bench.scale, bench.opened
    bench.stage(f"accepting beside validating only: {scale.repeats} times {scale.accept:,} orders each")
    environment = opened.environment(opened.stack.dsn("order-service"))
    accepted: list[Load] = []
    validated: list[Load] = []
    with opened.process("validate-only", "bench.validate_only", "api", environment=environment) as (url, _):
        opened.load(scale.warm, url=url, **bench.single)
        for _ in range(scale.repeats):
            validated.append(opened.load(scale.accept, url=url, **bench.single))
            accepted.append(opened.load(scale.accept, **bench.single))
    ratios = [one.rate / other.rate for one, other in zip(accepted, validated, strict=True)]
    note = f"loader {middle([each.loader_share for each in accepted]):.0%} of a core; the workers stopped"
    bench.add(
        Row("Accept, POST /v1/orders", [each.rate for each in accepted], "orders/s", note=note),
        Row("Validate only, same server and route", [each.rate for each in validated], "orders/s"),
        Row("Accept ÷ validate only", ratios, "times", 0.70),
        Row(
            "Accept ÷ validate only, if storing were free",
            [1e6 / (1e6 / each.rate + write) / each.rate for each in validated],
            "times",
        ),
    )
    return [each.rate for each in validated]


def _beside_inserting(bench: Bench, alone: float) -> float:
    """Return how many orders a second are inserted. `alone`: µs to check an order and to make its event and rows."""
    scale, opened = bench.scale, bench.opened
    bench.stage(f"accepting batches beside inserting their rows: {scale.repeats} times {scale.accept_batched:,}")
    loads = [opened.load(scale.accept_batched, **bench.batched) for _ in range(scale.repeats)]
    inserted = insert.rows_per_second(
        opened.stack.dsn("order-service"), opened.spare, scale.accept_batched, scale.repeats, BATCH_CONNECTIONS
    )
    note = f"asyncpg, unnest, {GROUP} orders a transaction"
    bench.add(
        Row("Accept, NDJSON", [each.rate for each in loads], "orders/s", note="the workers stopped"),
        Row("Insert the same rows and no more", inserted, "orders/s", note=note),
        Row("NDJSON ÷ insert", [each.rate / middle(inserted) for each in loads], "times", 0.45),
        Row("NDJSON ÷ insert, if storing and HTTP were free", [1e6 / alone / each for each in inserted], "times"),
    )
    return middle(inserted)
