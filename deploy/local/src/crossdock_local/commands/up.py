import time
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossdock_cli.commands.replay import Fast, replay_and_verify
from crossdock_cli.errors import CommandError
from crossdock_cli.output import console as terminal
from crossdock_cli.output import print_table
from crossdock_cli.progress import Report, runnable
from crossdock_local import console
from crossdock_local.commands.status import weight
from crossdock_local.servers import together
from crossdock_local.stack import Stack

CONSOLE = "analytics-service"
"""The service that serves the console."""


def up(
    fast: Fast = False,
    no_replay: Annotated[bool, typer.Option("--no-replay", help="Start only; do not replay the trading day.")] = False,
    in_one: Annotated[
        bool | None,
        typer.Option(
            "--together/--apart",
            show_default=False,
            help="API and worker of a service in one process, for small machines, or in two. Remembered until `reset`.",
        ),
    ] = None,
) -> None:
    """Start everything in the background and replay a real trading day into it, once."""
    stack, out = Stack.current(together=in_one), terminal()
    begun = time.monotonic()
    if stack.running:
        out.print(f"Crossdock is running already, since {_since(stack)}.")
        if outdated := stack.outdated:
            out.print(
                f"The code of {', '.join(outdated)} has changed since: `make down up` restarts with the new code."
            )
        started = False
        _console(stack, Steps(out), out)
    else:
        out.print("Starting Crossdock")
        steps = Steps(out)
        together([lambda: stack.up(report=steps), lambda: _console(stack, steps, out)])
        out.print(f"Everything runs after {time.monotonic() - begun:.1f} s.")
        started = True
    stack.supervisor.start()
    if not no_replay and not stack.home.replayed.exists():
        replay_and_verify(stack, out, fast=fast)
    elif started and stack.home.replayed.exists():
        out.print("The trading day was replayed before: its orders and stock are still there.")
    _where(stack, out)


def _console(stack: Stack, report: Report, out: Console) -> None:
    """Build the console if its sources are new. Without it everything else runs, so a failure is a sentence."""
    try:
        console.publish(stack.home, console.build(report=report))
    except CommandError as refusal:
        out.print(escape(refusal.details), style="dim")
        out.print(f"[yellow]The console is left out.[/yellow] {escape(str(refusal))} `make up` tries again.")


class Steps:
    """Print each step of the start as a line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, what: str) -> None:
        self._console.print(f"  [dim]… {what}[/dim]")

    def done(self, what: str, seconds: float) -> None:
        self._console.print(f"  [green]✓[/green] {what}  [dim]{seconds:.1f} s[/dim]")


def _where(stack: Stack, out: Console) -> None:
    orders = stack.url("order-service")
    table = Table.grid(padding=(0, 2))
    page = [("console", stack.url(CONSOLE))] if stack.home.console.exists() else []
    for name, address in (
        *page,
        ("orders", f"{orders}/docs"),
        ("stock", f"{stack.url('inventory-service')}/docs"),
        ("events", f"{stack.url('analytics-service')}/docs"),
        ("forecasts", f"{stack.url('forecast-service')}/docs"),
        ("customers", f"{stack.url('crm-service')}/docs"),
        ("issuer", stack.issuer_url),
        ("Kafka", stack.kafka),
    ):
        table.add_row(f"  {name}", address)
    print_table(out, table)
    out.print(weight(stack))
    out.print("Next:")
    following = Table.grid(padding=(0, 2))
    for command, why in (
        ("crossdock order", "post an order and see the decision"),
        ("crossdock orders", "list the orders of a partner"),
        ("crossdock stock ITEM", "show the stock of an item"),
        ("crossdock forecast show ITEM", "show what will be asked for"),
        ("crossdock customer household-2184", "show a customer of the replayed day and its orders"),
        ('crossdock mail send "my order has not come"', "write to the service desk over SMTP"),
        ("crossdock cases", "show the cases of customers"),
        ("crossdock tail orders", "watch events as they happen"),
        ("crossdock status", "show the processes and their memory"),
        ("crossdock verify", "check the invariants"),
        ("crossdock down", "stop; the data stays"),
    ):
        following.add_row(f"  [bold]{escape(runnable(command))}[/bold]", f"[dim]{why}[/dim]")
    print_table(out, following)


def _since(stack: Stack) -> str:
    started = stack.started_at
    return f"{datetime.fromtimestamp(started):%d %B %H:%M}" if started else "a while"
