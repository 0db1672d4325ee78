"""Restart the processes of a stack that ended or hang: `python -m crossdock_local.supervisor`.

`crossdock up` starts one supervisor for a stack, and `crossdock down` stops it before everything else. Tests that kill
processes themselves use a `Stack` without a supervisor.
"""

import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from crossdock_local.holds import Hold
from crossdock_local.layout import write
from crossdock_local.logfiles import trim
from crossdock_local.servers import Handle

POLL_SECONDS = 1.0
HANG_SECONDS = 20.0
"""A process that is alive and does not answer for so long hangs. Starting takes less, also on a slow machine."""
START_SECONDS = 90.0
BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)
RESTART_LIMIT = 20
LIMIT_SECONDS = 1_800.0
"""After so many restarts within this time a person has to look: the supervisor leaves the process alone."""


@dataclass(slots=True)
class Watched:
    """One process, as its supervisor sees it. `well` asks whether it makes progress.

    `held` returns the hold of a drill on the process, and `drop` removes it.
    """

    handle: Handle
    well: Callable[[], bool]
    restarts: int = 0
    started: float = 0.0
    ill_since: float | None = None
    recent: deque[float] = field(default_factory=deque)
    given_up: bool = False
    held: Callable[[], Hold | None] = lambda: None
    drop: Callable[[], None] = lambda: None

    def look(self, now: float) -> str | None:
        """Restart the process if necessary; return what happened. `now` is monotonic."""
        self._is_held()  # a hold that is not valid goes, also if the process runs
        if self.given_up:
            return None
        if self.handle.alive:
            if self.well():
                self.ill_since = None
                return None
            self.ill_since = now if self.ill_since is None else self.ill_since
            patience = START_SECONDS if now - self.started < START_SECONDS else HANG_SECONDS
            if now - self.ill_since < patience:
                return None
            if not self._is_held():
                self.handle.kill()
        # The hold is read after the process was seen dead, because a drill makes it before it kills the process.
        return None if self._is_held() else self._restart(now)

    def _is_held(self) -> bool:
        """Return whether a drill holds the process back. Drop the hold of a drill that has ended."""
        hold = self.held()
        if hold is not None and not hold.valid:
            self.drop()
            return False
        return hold is not None

    def _restart(self, now: float) -> str | None:
        while self.recent and now - self.recent[0] > LIMIT_SECONDS:
            self.recent.popleft()
        if len(self.recent) >= RESTART_LIMIT:
            self.given_up = True
            return (
                f"{self.handle.name} was restarted {RESTART_LIMIT} times in {LIMIT_SECONDS / 60:.0f} minutes: given up"
            )
        if self.recent and now - self.recent[-1] < BACK_OFF_SECONDS[min(len(self.recent), len(BACK_OFF_SECONDS) - 1)]:
            return None
        self.recent.append(now)
        self.restarts += 1
        self.started, self.ill_since = now, None
        self.handle.start()
        return f"{self.handle.name} restarted"


def supervise(watched: Sequence[Watched], file: Path, logs: Path, stop: threading.Event) -> None:
    """Look at each process until `stop`, and trim the `logs`.

    `file` holds the number of restarts by process, for `crossdock status`.
    """
    note(watched, file)
    while not stop.wait(POLL_SECONDS):
        trim(logs)
        for each in watched:
            if stop.is_set():
                return
            try:
                happened = each.look(time.monotonic())
            except Exception as error:  # one process that cannot be started must not end the watch over the others
                happened = f"{each.handle.name} could not be restarted: {error}"
            if happened:
                print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {happened}", file=sys.stderr, flush=True)
                note(watched, file)


def note(watched: Sequence[Watched], file: Path) -> None:
    write(file, json.dumps({each.handle.name: each.restarts for each in watched}))


def restarts(file: Path) -> dict[str, int]:
    """Return the number of restarts by process, as the supervisor noted them last."""
    try:
        found: dict[str, int] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def main() -> None:
    from crossdock_local.stack import Stack  # noqa: PLC0415  (the stack names this module)

    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    stack = Stack.current()
    watched = [
        Watched(
            handle,
            stack.well(handle),
            held=partial(stack.holds.of, handle.name),
            drop=partial(stack.holds.drop, handle.name),
        )
        for handle in stack.handles()
    ]
    supervise(watched, stack.restarts_file, stack.home.logs, stop)


if __name__ == "__main__":
    main()
