"""Run the parts of the measurement on a stack of its own."""

import time

from rich.console import Console

from bench import lifeline, results
from bench.results import Results
from bench.watch import keeping, page, rebuilding, searching, streaming
from bench.watch.feeder import LINES, Feeder
from bench.watch.watching import SERVICE, Size, Watch
from crossdock_local import console as built
from crossdock_local.ports import Ports
from crossdock_local.servers import jars
from crossdock_local.servers.postgres import MAJOR
from crossdock_local.stack import Stack


def run(size: Size, console: Console) -> Results:
    """Measure all parts. Raise BenchFailed if a record is missing somewhere, or if the service does not keep up."""
    began = time.monotonic()
    found = Results(
        results.machine(str(MAJOR), jars.KAFKA),
        f"Synthetic: {size.events:,} events of orders of {LINES} lines and of their stock levels.",
        load_before=results.load_average(),
    )

    def stage(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {what}[/]", highlight=False)

    stage("starting PostgreSQL, Kafka and analytics-service")
    with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        built.publish(stack.home, built.build())
        watch = Watch(stack, size, Feeder(stack), found, stage)
        for part in (keeping, rebuilding, streaming, page, searching):
            part.measure(watch)
        stage("stopping")
    found.seconds = time.monotonic() - began
    found.load_after = results.load_average()
    return found
