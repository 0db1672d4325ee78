"""Run the parts on a stack of crm-service alone."""

from rich.console import Console

from bench import results
from bench.crm import intake, registering, volume
from bench.crm.size import Size
from bench.results import Results, Row
from bench.session import SERVERS, alone

SERVICE = "crm-service"
MEMORY = {"api": 150.0, "worker": 180.0}


def run(size: Size, console: Console) -> Results:
    """Measure all rows. Raise BenchFailed if an event, a mail or a timer is not handled in time."""
    found = Results(
        results.machine(*SERVERS),
        f"Synthetic: {size.customers:,} customers with {size.orders_each} orders each, {size.open_cases:,} open cases.",
    )
    with alone(SERVICE, found, console) as (stack, stage):
        for role, goal in MEMORY.items():
            memory = stack.process(f"{SERVICE}.{role}").memory / 2**20
            found.rows.append(Row(f"Memory at rest, {role}", [memory], "MiB", goal, "less"))
        parts = (
            intake.orders,
            intake.complaints,
            intake.mails,
            volume.cases,
            volume.customers,
            registering.customers,
        )
        for part in parts:
            stage(part.__doc__ or "")
            found.rows += part(stack, size)
    return found
