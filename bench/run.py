"""Run the chosen parts of the bench on a stack of its own."""

import time
from collections.abc import Collection

from rich.console import Console

from bench import goods, results
from bench.bench import Bench
from bench.parts import PARTS
from bench.results import Results
from bench.scale import BATCH_CONNECTIONS, Scale
from bench.stack import bench_stack
from crossdock_local.servers import jars
from crossdock_local.servers.postgres import MAJOR


def run(scale: Scale, console: Console, only: Collection[str] = ()) -> Results:
    """Measure all parts, or `only` some, and return their rows."""
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
        measure(Bench(opened, scale, found, stage), only)
        stage("stopping")
    found.seconds = time.monotonic() - began
    found.load_after = results.load_average()
    return found


def measure(bench: Bench, only: Collection[str] = ()) -> None:
    """Measure all parts, or `only` some, in the order of PARTS."""
    for name, part in PARTS.items():
        if not only or name in only:
            part(bench)
