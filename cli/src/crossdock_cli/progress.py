"""Report the progress of a long command: each finished step with its duration."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol


class Report(Protocol):
    def begin(self, what: str) -> None:
        """Announce a step that takes long, usually a download."""

    def done(self, what: str, seconds: float) -> None: ...


class Silent:
    def begin(self, what: str) -> None:
        return None

    def done(self, what: str, seconds: float) -> None:
        return None


SILENT = Silent()


@contextmanager
def step(report: Report, what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    report.done(what, time.monotonic() - begun)


def runnable(command: str) -> str:
    """Return the command as the user can type it here: without a path only if `crossdock` on the path is this one.

    CROSSDOCK_TYPED_AS replaces the program, for a command that runs in a container.
    """
    program, *rest = command.split(" ")
    if typed := os.environ.get("CROSSDOCK_TYPED_AS"):
        return " ".join([typed, *rest])
    own = Path(sys.executable).parent / program
    found = shutil.which(program)
    if not own.exists() or (found is not None and Path(found).resolve() == own.resolve()):
        return command
    here = Path.cwd()
    shown = own.relative_to(here) if own.is_relative_to(here) else own
    return " ".join([shlex.quote(str(shown)), *rest])
