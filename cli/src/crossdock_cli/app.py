"""`crossdock`: find the commands by their entry points. An error is one sentence on stderr and a non-zero exit code."""

import sys
from importlib.metadata import entry_points

import typer
from rich.console import Console

from crossdock_cli.errors import CommandError

GROUPS = {"crossdock.machine_commands": "This machine", "crossdock.commands": "Any installation"}
"""Entry-point groups and their headings. An entry names a function or, for commands below its name, a `typer.Typer`."""

HELP = "The event backbone between a company's customers and its supply chain."


def build(words: list[str]) -> typer.Typer:
    """Return the application with all commands, or with the one that `words` names: importing all is slow."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)
    app.callback()(lambda: None)  # without a callback, typer drops the name of a single command
    found = [(each, panel) for group, panel in GROUPS.items() for each in entry_points(group=group)]
    for each, panel in [(one, panel) for one, panel in found if words[:1] == [one.name]] or found:
        command = each.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=each.name, rich_help_panel=panel)
        else:
            app.command(each.name, rich_help_panel=panel)(command)
    return app


def main() -> None:
    try:
        build(sys.argv[1:])()
    except CommandError as refusal:
        complain = Console(stderr=True, highlight=False, soft_wrap=True)
        if refusal.details:
            complain.print(refusal.details, style="dim", markup=False)
        complain.print(str(refusal), style="red", markup=False)
        sys.exit(1)
