import shutil
import sys
from typing import Annotated

import typer
from rich.console import Console

from crossdock_cli.errors import CommandError
from crossdock_local.layout import size_of
from crossdock_local.stack import Stack


def reset(yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False) -> None:
    """Stop everything and forget all data. What was downloaded stays."""
    stack = Stack.current()
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError(
                "This forgets all orders and stock of the local stack: say --yes to do it without a terminal."
            )
        typer.confirm(f"Forget all orders and stock below {stack.home.root}?", abort=True)
    stack.down()
    freed = 0
    home = stack.home
    for name in ("postgres", "broker", "issuer", "secrets", "logs", "run", "ports.json", home.replayed.name):
        path = home.root / name
        freed += size_of(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    Console(highlight=False).print(f"Forgotten; {freed / 1e6:.0f} MB freed. `make up` starts anew.")
