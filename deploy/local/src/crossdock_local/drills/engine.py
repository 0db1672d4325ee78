"""Run a drill: inject, wait until the home page shows it, apply the remedy, wait until the row is gone."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal, Protocol

from crossdock_cli.attention import Row
from crossdock_cli.errors import CommandError

POLL_SECONDS = 0.25
Answer = Literal["apply", "solved", "stop"]


@dataclass(frozen=True, slots=True)
class Sign:
    """Rows of the home page that belong to a fault. Without a subject, all rows of the cause and service."""

    cause: str
    service: str | None
    subject: str | None = None

    def count(self, rows: Sequence[Row]) -> int:
        """Return how much the rows report: the sum of their counts, at least 1 for each row."""
        return sum(max(row.count or 1, 1) for row in rows if self._fits(row))

    def _fits(self, row: Row) -> bool:
        return (
            row.cause == self.cause
            and (self.service is None or row.service == self.service)
            and (self.subject is None or row.subject == self.subject)
        )


@dataclass(frozen=True, slots=True)
class Remedy:
    """`press` is for the console, `command` for the terminal, `runbook` is a file of the repository."""

    press: str
    command: str
    runbook: str


class Fault(Protocol):
    """One fault. `restore` undoes it whether or not `apply` was called, and may be called at any time."""

    @property
    def name(self) -> str: ...
    @property
    def signs(self) -> Sequence[Sign]:
        """Return the rows that must all appear, and that must all be gone at the end."""

    @property
    def beside(self) -> bool:
        """Return whether such rows may exist before. If so, a rise of their counts is the sign."""

    @property
    def shown_within(self) -> float: ...
    @property
    def cleared_within(self) -> float: ...
    @property
    def remedy(self) -> Remedy: ...
    def prepare(self) -> None:
        """Create the items and orders that the fault needs."""

    def inject(self) -> str:
        """Break it, and return a sentence about it."""

    def tick(self) -> None:
        """Do the work of a customer, because some faults show only under load."""

    def apply(self) -> None: ...
    def restore(self) -> None: ...
    def tidy(self) -> None:
        """Cancel the orders of the drill, and write off its stock."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from the fault to its row, and from the remedy to the end of the row."""

    name: str
    shown: float
    cleared: float
    by: str
    rows: Sequence[Row]


Look = Callable[[], Sequence[Row] | None]
"""Return the rows of the home page, or None if it does not answer."""


class Show(Protocol):
    def say(self, text: str) -> None: ...
    def wait(self, text: str) -> None:
        """Replace the progress line; an empty text removes it."""


class Interrupted(Exception):
    """A signal ends the drill."""


def run(
    fault: Fault,
    look: Look,
    ask: Callable[[Callable[[], bool]], Answer],
    show: Show,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Times:
    """Run the drill and return its times. Undo the fault in every case.

    `ask` returns what to do about the remedy; it may call the function to learn whether the row is gone by itself.
    Raise CommandError if the row does not appear or does not go within its time.
    """
    before = _baseline(fault, look())
    try:
        fault.prepare()
        show.say(fault.inject())
        rows, shown = _shown(fault, look, before, show, clock, sleep)
        show.say(f"Shown on the home page after {shown:.1f} s:")
        for row in rows:
            show.say(f"  {row.cause}: {row.sentence}")
        answer = ask(lambda: not _grown(fault.signs, look(), before, every=False))
        if answer == "stop":
            raise CommandError(f"The drill ended without its remedy, and {fault.name} was undone.")
        remedied = clock()
        if answer == "apply":
            fault.apply()
        cleared = _cleared(fault, look, before, show, clock, sleep, remedied)
    except BaseException:
        for refusal in _undone(fault, show):  # the first error is the one to raise
            show.say(f"Not restored: {refusal}")
        raise
    for refusal in _undone(fault, show):
        raise refusal
    return Times(fault.name, shown, cleared, "this drill" if answer == "apply" else "you", rows)


def _undone(fault: Fault, show: Show) -> list[CommandError]:
    """Restore and tidy, undisturbed by signals. Return what failed: the second step runs in every case."""
    failed = []
    with _undisturbed():
        show.wait("restoring")
        for step in (fault.restore, fault.tidy):
            try:
                step()
            except CommandError as refusal:
                failed.append(refusal)
        show.wait("")
    return failed


def _baseline(fault: Fault, rows: Sequence[Row] | None) -> dict[Sign, int]:
    if rows is None:
        raise CommandError(
            "The home page does not answer, so no drill can be timed: `crossdock status` shows the processes."
        )
    before = {sign: sign.count(rows) for sign in fault.signs}
    if not fault.beside and any(before.values()):
        found = "\n".join(row.sentence for row in rows)
        raise CommandError("The home page shows this fault already, and it is no drill: mend it first.", found)
    return before


def _grown(signs: Sequence[Sign], rows: Sequence[Row] | None, before: dict[Sign, int], *, every: bool) -> bool:
    """Return whether every sign (or any one) is above its baseline. An unknown page counts as the worse answer."""
    if rows is None:
        return not every
    grown = [sign.count(rows) > before[sign] for sign in signs]
    return all(grown) if every else any(grown)


def _shown(
    fault: Fault,
    look: Look,
    before: dict[Sign, int],
    show: Show,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[list[Row], float]:
    begun, seen = clock(), None
    while (passed := clock() - begun) <= fault.shown_within:
        if (rows := look()) is not None:
            seen = rows
        if _grown(fault.signs, rows, before, every=True):
            show.wait("")
            return [row for row in rows or () if any(sign.count([row]) for sign in fault.signs)], clock() - begun
        show.wait(f"waiting for the home page, {passed:.0f} of at most {fault.shown_within:.0f} s")
        fault.tick()
        sleep(POLL_SECONDS)
    what = (
        "it did not answer" if seen is None else "; ".join(f"{row.cause}: {row.sentence}" for row in seen) or "no rows"
    )
    wanted = " and ".join(sign.cause for sign in fault.signs)
    raise CommandError(
        f"The home page did not show {wanted} within {fault.shown_within:.0f} s of the fault, which was undone.",
        f"The home page showed last: {what}",
    )


def _cleared(
    fault: Fault,
    look: Look,
    before: dict[Sign, int],
    show: Show,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    since: float,
) -> float:
    while (passed := clock() - since) <= fault.cleared_within:
        if not _grown(fault.signs, look(), before, every=False):
            show.wait("")
            return clock() - since
        show.wait(f"waiting until the row is gone, {passed:.0f} of at most {fault.cleared_within:.0f} s")
        sleep(POLL_SECONDS)
    raise CommandError(f"The home page still showed the fault {fault.cleared_within:.0f} s after the remedy.")


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise Interrupted in the block, so that the drill undoes its fault."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    before = {each: signal.signal(each, interrupt) for each in ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore these signals in the block. A second Ctrl-C must not leave half of the fault behind."""
    try:
        before = {each: signal.signal(each, signal.SIG_IGN) for each in ENDING}
    except ValueError:  # not the main thread: no signal is handled in it
        before = {}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
