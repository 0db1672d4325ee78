import fcntl
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crossdock_cli import attention
from crossdock_cli.errors import CommandError
from crossdock_cli.installation import VARIABLE
from crossdock_cli.output import AsJson, console, print_json, print_table
from crossdock_local.drills.engine import Answer, Fault, Interrupted, Times, interruptible, run
from crossdock_local.layout import private
from crossdock_local.stack import Stack

ANSWER_SECONDS = 900.0
"""How long a drill waits for a person. Then it undoes its fault."""
LOOK_SECONDS = 1.0


class Kind(StrEnum):
    POISON = "poison"
    BROKER = "broker"
    STOCKOUT = "stockout"
    WORKER = "worker"
    LAG = "lag"


def drill(
    kind: Annotated[Kind, typer.Argument(help="The fault.")],
    yes: Annotated[bool, typer.Option("--yes", help="Apply the remedy without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Break one thing on this machine's stack, wait until the home page shows it, mend it, and time both.

    Ctrl-C undoes the fault. Practise: mend it yourself in the console, and the drill sees that.
    """
    stack = _stack(kind)
    if not yes and not sys.stdin.isatty():
        raise CommandError("Without a terminal nobody can be asked: add --yes to apply the remedy.")
    from crossdock_local.drills import faults  # noqa: PLC0415  (imports Kafka's client: slow)

    out = Console(stderr=True, highlight=False, soft_wrap=True) if as_json else console()
    fault, shown = faults.of(kind.value, stack), Shown(out)
    with _alone(stack):
        try:
            with interruptible():
                times = run(fault, attention.looking(stack), lambda solved: _ask(fault, shown, yes, solved), shown)
        except Interrupted as signal:
            out.print(f"Interrupted by {signal}: {kind.value} was undone.")
            raise typer.Exit(130) from None
        finally:
            shown.wait("")
    _print(times, out, as_json=as_json)


class Shown:
    """Lines on the terminal, and one progress line that changes."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._status = out.status("")
        self._running = False

    def say(self, text: str) -> None:
        self._out.print(text, markup=False)

    def wait(self, text: str) -> None:
        if not text:
            self._status.stop()
        else:
            self._status.update(text)
            if not self._running:
                self._status.start()
        self._running = bool(text)


def _stack(kind: Kind) -> Stack:
    """Return the stack of this machine. Raise CommandError if a drill must not run here."""
    if named := os.environ.get(VARIABLE):
        raise CommandError(
            "A drill breaks things, so it runs only on the stack that `make up` started on this machine. "
            f"{VARIABLE} names {named}: unset it first."
        )
    stack = Stack.current()
    processes = [handle for handle in stack.handles() if "." in handle.name]
    if not any(handle.alive for handle in processes):
        raise CommandError(
            "Crossdock is not running on this machine: `make up` starts it. A drill runs on nothing else."
        )
    if away := [handle.name for handle in processes if not handle.ready()]:
        raise CommandError(f"{', '.join(away)} is not ready, and that is no drill: `make up` starts what is missing.")
    if kind in (Kind.BROKER, Kind.WORKER):
        if not stack.supervisor.alive:
            raise CommandError("No supervisor runs, so a killed drill would not be undone: `make up` starts it.")
        if kind is Kind.BROKER and not stack.process("kafka").ready():
            raise CommandError("Kafka is not ready, and that is no drill: `make up` starts what is missing.")
    return stack


@contextmanager
def _alone(stack: Stack) -> Iterator[None]:
    """Let one drill at a time run. Raise CommandError if another one does."""
    with open(stack.home.run / "drill.lock", "w", opener=private) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("Another drill runs on this stack: wait until it ends.") from None
        yield


def _ask(fault: Fault, shown: Shown, yes: bool, solved: Callable[[], bool]) -> Answer:
    """Show the remedy and ask whether to apply it. Go on if the row is gone before somebody answers."""
    shown.say(f"Remedy\n  console   {fault.remedy.press}\n  terminal  {fault.remedy.command}")
    shown.say(f"  runbook   {fault.remedy.runbook}")
    if yes:
        return "apply"
    shown.say("Apply it now? [Y/n] Or mend it yourself: this drill sees when the row is gone.")
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
        if readable:
            return "stop" if sys.stdin.readline().strip().lower() in ("n", "no") else "apply"
        if solved():
            return "solved"
    shown.say(f"Nobody answered for {ANSWER_SECONDS / 60:.0f} minutes.")
    return "stop"


def _print(times: Times, out: Console, *, as_json: bool) -> None:
    if as_json:
        rows = [asdict(row) for row in times.rows]
        print_json({"drill": times.name, "shown_seconds": times.shown, "cleared_seconds": times.cleared, "rows": rows})
        return
    table = Table("drill", "fault → shown", "remedy → cleared", "remedy by", box=None)
    table.add_row(times.name, f"{times.shown:.1f} s", f"{times.cleared:.1f} s", times.by)
    print_table(out, table)
