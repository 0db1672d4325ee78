"""Run the parts on a stack of crm-service alone."""

import time

from rich.console import Console

from bench import lifeline, results
from bench.crm import intake, volume
from bench.crm.size import Size
from bench.results import Results, Row
from crossdock_local.ports import Ports
from crossdock_local.servers import jars
from crossdock_local.servers.postgres import MAJOR
from crossdock_local.stack import Stack

SERVICE = "crm-service"
MEMORY = {"api": 150.0, "worker": 180.0}


def run(size: Size, console: Console) -> Results:
    """Measure all rows. Raise BenchFailed if an event, a mail or a timer is not handled in time."""
    began = time.monotonic()
    found = Results(
        results.machine(str(MAJOR), jars.KAFKA),
        f"Synthetic: {size.customers:,} customers with {size.orders_each} orders each, {size.open_cases:,} open cases.",
        load_before=results.load_average(),
    )

    def stage(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {what}[/]", highlight=False)

    stage("starting PostgreSQL, Kafka and crm-service")
    with lifeline.folder() as folder, Stack(folder, Ports.free(), services=[SERVICE]) as stack:
        for role, goal in MEMORY.items():
            memory = stack.process(f"{SERVICE}.{role}").memory / 2**20
            found.rows.append(Row(f"Memory at rest, {role}", [memory], "MiB", goal, "less"))
        for part in (intake.orders, intake.complaints, intake.mails, volume.cases, volume.customers):
            stage(part.__doc__ or "")
            found.rows += part(stack, size)
        stage("stopping")
    found.seconds, found.load_after = time.monotonic() - began, results.load_average()
    return found
