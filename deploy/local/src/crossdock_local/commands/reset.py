import shutil
import sys
from typing import Annotated

import typer

from crossdock_cli.errors import CommandError
from crossdock_cli.output import console
from crossdock_cli.progress import runnable
from crossdock_local.layout import size_of
from crossdock_local.stack import Stack


def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop everything and delete all data. Downloaded files stay."""
    stack = Stack.current()
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError(
                "This deletes all orders and stock of the local stack. Without a terminal, run `make reset YES=1` or "
                f"`{runnable('crossdock')} reset --yes`."
            )
        typer.confirm(f"Delete all orders and stock below {stack.home.root}?", abort=True)
    stack.down()
    freed = 0
    home = stack.home
    folders = [home.root / name for name in ("postgres", "broker", "issuer", "secrets", "logs", "run")]
    for path in (*folders, home.ports, home.replayed, home.together):
        freed += size_of(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    console().print(f"Deleted; {freed / 1e6:.0f} MB freed. `make up` starts again with empty databases.")
