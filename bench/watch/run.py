"""Run the parts of the measurement on a stack of its own."""

from rich.console import Console

from bench import results
from bench.results import Results
from bench.session import SERVERS, alone
from bench.watch import keeping, page, rebuilding, searching, streaming
from bench.watch.feeder import LINES, Feeder
from bench.watch.watching import SERVICE, Size, Watch
from crossdock_local import console as built


def run(size: Size, console: Console) -> Results:
    """Measure all parts. Raise BenchFailed if a record is missing somewhere, or if the service does not keep up."""
    found = Results(
        results.machine(*SERVERS),
        f"Synthetic: {size.events:,} events of orders of {LINES} lines and of their stock levels.",
    )
    with alone(SERVICE, found, console) as (stack, stage):
        built.publish(stack.home, built.build())
        watch = Watch(stack, size, Feeder(stack), found, stage)
        for part in (keeping, rebuilding, streaming, page, searching):
            part.measure(watch)
    return found
