"""Run the chosen parts of the bench on a stack of its own."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rich.console import Console

from bench import goods, results
from bench.bench import Bench
from bench.growth import Growing, Growth
from bench.helper import HelperFailed
from bench.parts import PARTS
from bench.results import Results
from bench.scale import BATCH_CONNECTIONS, Scale
from bench.stack import BenchFailed, BenchStack, bench_stack
from crossdock_local.servers import jars
from crossdock_local.servers.postgres import MAJOR


class Incomplete(BenchFailed):
    """A part has failed. `found` has the rows of the parts before it."""

    def __init__(self, what: str, found: Results) -> None:
        super().__init__(what)
        self.found = found


@contextmanager
def measuring(console: Console, items: int, loads: str) -> Iterator[tuple[BenchStack, Results, Callable[[str], None]]]:
    """Yield a stack, results that note the machine and the time, and a function that prints the stage of the run."""
    began = time.monotonic()
    found = Results(
        results.machine(str(MAJOR), jars.KAFKA),
        f"Synthetic: {items:,} items in {len(goods.LOCATIONS)} places, popularity by Zipf, stock for all; {loads}",
        load_before=results.load_average(),
    )

    def stage(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {what}[/]", highlight=False)

    stage("starting PostgreSQL, Kafka and the services, and importing items and stock")
    with bench_stack(items) as opened:
        yield opened, found, stage
        stage("stopping")
    found.seconds = time.monotonic() - began
    found.load_after = results.load_average()


def run(scale: Scale, console: Console, only: Collection[str] = ()) -> Results:
    """Measure all parts, or `only` some, and return their rows."""
    loads = (
        f"orders of {goods.LINES} lines, 1-6 units each, with address; {scale.connections} connections single, "
        f"{BATCH_CONNECTIONS} batched by {scale.batch:,} lines."
    )
    with measuring(console, scale.items, loads) as (opened, found, stage):
        measure(Bench(opened, scale, found, stage), only)
    return found


def run_growth(growth: Growth, console: Console) -> Results:
    """Measure the rates at each size of the tables."""
    loads = f"orders of 1-6 units a line, with address; {growth.connections} connections single, 2 batched."
    with measuring(console, growth.items, loads) as (opened, found, stage):
        Growing(opened, growth, found, stage).run()
    return found


def measure(bench: Bench, only: Collection[str] = ()) -> None:
    """Measure all parts, or `only` some, in the order of PARTS. Raise Incomplete if one fails."""
    for name, part in PARTS.items():
        if not only or name in only:
            try:
                part(bench)
            except (BenchFailed, HelperFailed) as error:
                raise Incomplete(f"The part {name} failed: {error}", bench.found) from error
