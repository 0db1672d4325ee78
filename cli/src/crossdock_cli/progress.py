"""Report the progress of a long command: each finished step with its duration."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Return the command as the user can type it. Outside the virtual environment, `crossdock` is not on the path."""
    if command.startswith("crossdock") and not shutil.which("crossdock"):
        return f".venv/bin/{command}"
    return command
