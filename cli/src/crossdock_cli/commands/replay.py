from typing import Annotated

import typer
from rich.console import Console

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation
from crossdock_cli.progress import runnable

Fast = Annotated[bool, typer.Option("--fast", help="The trading day as fast as it goes.")]


def replay(fast: Fast = False) -> None:
    """Replay the trading day into the running installation, again or for the first time."""
    replay_and_verify(installation.current(), Console(highlight=False), fast=fast)


def replay_and_verify(there: Installation, console: Console, *, fast: bool) -> None:
    """Raises CommandError, with what is wrong above it, when the day or the books do not add up."""
    from crossdock_cli import replay as day  # noqa: PLC0415  (imports much, and `up` only sometimes needs it)
    from crossdock_cli import verify as checker  # noqa: PLC0415

    summary = day.replay(there, fast=fast, console=console)
    day.show(summary, console, command=runnable("crossdock"))
    report = checker.verify(there)
    console.print(str(report))
    if not summary.clean or not report.clean:
        raise CommandError("The replayed day does not add up: what is wrong is above. Everything keeps running.")
    there.note_replayed()
