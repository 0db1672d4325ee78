"""Measure latency and processor time at steady rates, which is how companies use the services."""

from collections.abc import Mapping
from typing import Final

from bench.bench import Bench
from bench.results import Row
from bench.statistics import middle, percentile

LATENCY: Final[Mapping[tuple[int, float], float]] = {(20, 0.99): 25.0, (200, 0.5): 35.0, (200, 0.99): 60.0}
"""Milliseconds to reach, by rate and percentile."""
CPU: Final[Mapping[int, float]] = {200: 3.5}
"""Milliseconds to reach, by rate."""


def measure(bench: Bench) -> None:
    for rate, seconds in bench.scale.steady:
        bench.flow(rate, **bench.single, rate=float(rate))  # the stack adapts to the rate within a second
        bench.stage(f"{rate} orders a second: {bench.scale.repeats} times {seconds} s")
        flows = [bench.flow(rate * seconds, **bench.single, rate=float(rate)) for _ in range(bench.scale.repeats)]
        for share in (0.5, 0.99):
            answered = middle([percentile(flow.load.posted_to_answered, share) for flow in flows])
            bench.add(
                Row(
                    f"Accepted to confirmed at {rate}/s, p{share * 100:.0f}",
                    [percentile(flow.latencies, share) * 1e3 for flow in flows],
                    "ms",
                    LATENCY.get((rate, share)),
                    "less",
                    f"POST to answer {answered * 1e3:.1f} ms",
                )
            )
        sums = bench.note(f"{rate}/s", flows)
        milliseconds = [each / 1e3 for each in sums]
        bench.add(Row(f"CPU an order at {rate}/s", milliseconds, "ms", CPU.get(rate), "less"))
