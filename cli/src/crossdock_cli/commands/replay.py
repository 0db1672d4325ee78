from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console

from crossdock_cli import installation, output
from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation
from crossdock_cli.mails import show_mails
from crossdock_cli.progress import runnable

FORECAST_SECONDS = {True: 15, False: 60}
"""The time for the full choice of models of a fast replay, and of a paced one. The other items keep a cheap model."""

Fast = Annotated[bool, typer.Option("--fast", help="Post the orders as fast as possible.")]


def replay(fast: Fast = False) -> None:
    """Replay the trading day into the running installation, then verify. A second replay places no new orders."""
    replay_and_verify(installation.current(), output.console(), fast=fast)


def replay_and_verify(there: Installation, console: Console, *, fast: bool) -> None:
    """Replay, verify and print both results. Raise CommandError if the day or the check shows a difference."""
    from crossdock_cli import replay as day  # noqa: PLC0415  (a slow import that `up` rarely needs)
    from crossdock_cli import verify as checker  # noqa: PLC0415
    from crossdock_cli.replay import cases, customers, demand  # noqa: PLC0415

    with ThreadPoolExecutor(1) as beside:
        forecast = beside.submit(demand.forecast_day, there, demand.BUSIEST, FORECAST_SECONDS[fast])
        cases.make_rule(there)
        summary = day.replay(there, fast=fast, console=console)
        day.show(summary, console, command=runnable("crossdock"))
        customers.show_customers(there, console)
        cases.show_cases(there, console)
        show_mails(there, console)
        demand.show_forecast(there, forecast.result(), console)
    report = checker.verify(there)
    console.print(str(report))
    if not summary.clean or not report.clean:
        raise CommandError("The replayed day does not add up: the differences are above. All services keep running.")
    there.note_replayed()
