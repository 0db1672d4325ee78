"""What a long command tells while it works: each step when it is done, with the time it took."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    def begin(self, what: str) -> None:
        """Something that takes a while starts now: a download, mostly."""

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
    """As it can be typed here: `crossdock` is on the path only while the virtual environment is active."""
    if command.startswith("crossdock") and not shutil.which("crossdock"):
        return f".venv/bin/{command}"
    return command
