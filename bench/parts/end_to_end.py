"""Measure how many orders a second the whole path confirms, and the processor time of an order."""

from bench.bench import Bench
from bench.results import Row
from bench.statistics import middle


def measure(bench: Bench) -> None:
    scale = bench.scale
    for name, count, rate, cpu, load in (
        ("single", scale.single, 1_500, 800, bench.single),
        ("batched", scale.batched, 4_000, 450, bench.batched),
    ):
        bench.stage(f"end to end, {name}: {scale.repeats} times {count:,} orders")
        flows = [bench.flow(count, **load) for _ in range(scale.repeats)]
        share = middle([flow.load.loader_share for flow in flows])
        note = f"first POST to last OrderConfirmed at the subscriber; the loader took {share:.0%} of a core"
        cpu_an_order = bench.note(name, flows)
        counted = ", ".join(f"{what} {count:.2f}" for what, count in bench.found.counted[name].items())
        bench.add(
            Row(f"End to end, {name}", [flow.rate for flow in flows], "orders/s", rate, note=note),
            Row(f"CPU an order, {name}", cpu_an_order, "µs", cpu, "less", f"an order: {counted}"),
        )
