"""`crossdock`: the commands. Each is a sentence or a table; trouble is one sentence on stderr and a non-zero exit."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossdock_local import commands
from crossdock_local.errors import Refused
from crossdock_local.layout import default_home
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
partner_app = typer.Typer(no_args_is_help=True, help="Who may send orders.")
app.add_typer(partner_app, name="partner")

console = Console(highlight=False)
PARTNER_SCOPES = ["orders:read", "orders:write"]
OWN_SCOPES = [*PARTNER_SCOPES, "stock:read", "stock:write"]
Fast = Annotated[bool, typer.Option("--fast", help="The trading day as fast as it goes.")]


def stack() -> Stack:
    """CROSSDOCK_HOME is another folder, CROSSDOCK_PORTS=free other ports: a second stack beside the first."""
    ports = Ports.free() if os.environ.get("CROSSDOCK_PORTS") == "free" else Ports.fixed()
    return Stack.from_environment(default_home(), ports)


@app.command()
def up(
    fast: Fast = False,
    no_replay: Annotated[bool, typer.Option("--no-replay", help="Start only; leave the stock empty.")] = False,
) -> None:
    """Start everything in the background and replay a real trading day into it, once."""
    commands.up(stack(), console, fast=fast, replay=not no_replay)


@app.command()
def down() -> None:
    """Stop everything; the data stays."""
    commands.down(stack(), console)


@app.command()
def status() -> None:
    """What runs, where, and the memory it takes."""
    commands.status(stack(), console)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="One process: kafka, order-service.api …")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="And what comes, until Ctrl-C.")] = False,
) -> None:
    """The ends of the logs, or of one."""
    commands.logs(stack(), console, name, follow=follow)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False) -> None:
    """Stop everything and forget all data. What was downloaded stays."""
    target = stack()
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(
                "This forgets all orders and stock of the local stack: say --yes to do it without a terminal."
            )
        typer.confirm(f"Forget all orders and stock below {target.home.root}?", abort=True)
    commands.reset(target, console)


@app.command()
def token(
    partner: str,
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable; without it, all but ops.")] = None,
) -> None:
    """A bearer token in that partner's name for the person at this terminal, alone on stdout."""
    print(stack().token(partner, scope or OWN_SCOPES))


@partner_app.command("add")
def partner_add(
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable; without it, orders only.")] = None,
) -> None:
    """A new client of that partner: its id and its secret, shown this once. Stock names everybody's orders: whoever
    reads it is one of us."""
    commands.add_partner(stack(), console, name, scope or PARTNER_SCOPES)


@app.command()
def order(
    file: Annotated[Path | None, typer.Argument(help="JSON as POST /v1/orders takes it, - for stdin.")] = None,
    partner: Annotated[str, typer.Option(help="Whose order it is.")] = "demo",
) -> None:
    """Post one order (without a file: a sample of what is in stock) and see what becomes of it."""
    commands.order(stack(), console, file, partner)


@app.command()
def receive(
    item: str,
    quantity: Annotated[int, typer.Argument(min=1)],
    location: Annotated[str | None, typer.Option(help="Without it, the first location.")] = None,
) -> None:
    """Book a receipt of goods; orders that wait for the item are released."""
    commands.receive(stack(), console, item, quantity, location)


@app.command()
def replay(fast: Fast = False) -> None:
    """Replay the trading day into the running stack, again or for the first time."""
    commands.replay(stack(), console, fast=fast)


@app.command()
def verify() -> None:
    """Check that no order was lost, no stock oversold, nothing done twice and every level explained."""
    commands.verify(stack(), console)


@app.command()
def tail(
    topic: Annotated[str | None, typer.Argument(help="orders, or crossdock.orders.v1; without it, all.")] = None,
    beginning: Annotated[bool, typer.Option("--beginning", help="From the first event on.")] = False,
) -> None:
    """Events as they happen, until Ctrl-C."""
    commands.tail(stack(), console, topic, beginning=beginning)


def main() -> None:
    try:
        app()
    except Refused as refusal:
        complain = Console(stderr=True, highlight=False, soft_wrap=True)
        if refusal.details:
            complain.print(refusal.details, style="dim", markup=False)
        complain.print(str(refusal), style="red", markup=False)
        sys.exit(1)
