import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from crossdock_cli.errors import CommandError
from crossdock_cli.output import console
from crossdock_local.stack import Stack


def logs(
    name: Annotated[str | None, typer.Argument(help="One process: kafka, order-service.api …")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show new lines too, until Ctrl-C.")] = False,
) -> None:
    """Show the ends of all logs, or of one log."""
    # `name` is a process or a service: order-service shows the logs of all its processes.
    stack, out = Stack.current(), console()
    found = sorted(stack.home.logs.glob("*.log"))
    files = [file for file in found if name is None or file.stem == name or file.stem.startswith(f"{name}.")]
    if not found:
        raise CommandError(f"There are no logs in {stack.home.logs}: `make up` starts Crossdock.")
    if not files:
        raise CommandError(f"There is no log of {name}; there is: {', '.join(file.stem for file in found)}.")
    wide = len(files) > 1
    for file in files:
        if wide:
            out.rule(file.stem, align="left")
        for line in file.read_text(errors="replace").splitlines()[-10 if wide else -100 :]:
            print(line)
    if follow:
        _follow(files, wide)


def _follow(files: Sequence[Path], wide: bool) -> None:
    places = {file: file.stat().st_size for file in files}
    while True:
        for file, place in places.items():
            with file.open(errors="replace") as stream:
                stream.seek(place if place <= file.stat().st_size else 0)  # the log may have been trimmed
                for line in stream:
                    print(f"{file.stem}: {line}" if wide else line, end="", flush=True)
                places[file] = stream.tell()
        time.sleep(0.2)
