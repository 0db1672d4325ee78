"""Summarize a replay and print the summary."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossdock_cli.replay.waiting import Scarce


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, nearest rank."""

    count: int
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency | None":
        """Return the percentiles, or None without values."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        p50, p99 = (ordered[ceil(len(ordered) * share) - 1] * 1_000 for share in (0.50, 0.99))
        return cls(len(ordered), p50, p99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The result of a replay. `outcomes` and `skipped` add up to `baskets`; none should be undecided or failed.

    Both latencies end when the outside subscriber receives OrderConfirmed. `accepted_to_confirmed` starts when the 201
    arrived, `posted_to_confirmed` when its request was sent. This process's monotonic clock measures all times.
    """

    date: date
    baskets: int
    lines: int
    stores: int
    value: Decimal
    outcomes: Mapping[str, int]
    existing: int
    skipped: Mapping[str, int]
    skipped_lines: Mapping[str, int]
    events: Mapping[str, int]
    accepted_to_confirmed: Latency | None
    posted_to_confirmed: Latency | None
    posting_seconds: float
    waiting: int
    scarcest: Scarce | None
    scarcest_name: str
    problems: tuple[str, ...]

    @property
    def accounted_for(self) -> bool:
        return sum(self.outcomes.values()) + sum(self.skipped.values()) == self.baskets

    @property
    def clean(self) -> bool:
        """Return whether every basket was decided or skipped by a rule."""
        return self.accounted_for and not self.outcomes.get("undecided") and not self.outcomes.get("failed")


def show(summary: Summary, console: Console, *, command: str = "crossdock") -> None:
    """Print the summary. `command`: how the reader can type `crossdock`."""
    console.print(_baskets(summary))
    posted = sum(summary.outcomes.values())
    there = f", {summary.existing} of them from an earlier replay" if summary.existing else ""
    console.print(
        f"{posted} orders of {summary.stores} stores over {summary.value:,} USD{there}; "
        f"posted in {summary.posting_seconds:.1f} s\n"
    )
    console.print(_events(summary))
    if summary.accepted_to_confirmed and summary.posted_to_confirmed:
        console.print(f"accept → confirmed     {_shown(summary.accepted_to_confirmed)}, from the arrival of the 201")
        console.print(f"POST sent → confirmed  {_shown(summary.posted_to_confirmed)}")
        console.print("[dim]until an outside subscriber receives OrderConfirmed; one process, one clock[/dim]")
    console.print()
    for problem in summary.problems:
        console.print(f"[red]refused or failed:[/red] {escape(problem)}", highlight=False)
    _needs_a_person(summary, console, command)


def _shown(latency: Latency) -> str:
    return f"p50 {latency.p50:.0f} ms · p99 {latency.p99:.0f} ms ({latency.count} orders)"


def _baskets(summary: Summary) -> Table:
    table = Table(f"{summary.date:%d %B %Y}", box=SIMPLE_HEAD)
    table.add_column("baskets", justify="right")
    for outcome, count in summary.outcomes.items():
        if count or outcome in ("confirmed", "backordered"):
            table.add_row(outcome, f"{count:,}", style="red" if outcome in ("undecided", "failed") else None)
    for rule, count in summary.skipped.items():
        table.add_row(f"skipped: {rule}", f"{count:,}", style="dim")
    table.add_section()
    table.add_row("all", f"{sum(summary.outcomes.values()) + sum(summary.skipped.values()):,}", style="bold")
    return table


def _events(summary: Summary) -> Table:
    table = Table("received by an outside subscriber", box=SIMPLE_HEAD)
    table.add_column("events", justify="right")
    for topic, count in sorted(summary.events.items()):
        table.add_row(topic, f"{count:,}")
    return table


def _needs_a_person(summary: Summary, console: Console, command: str) -> None:
    if not summary.waiting:
        console.print("Needs a person: nothing, no order waits for stock.")
        return
    console.print(f"Needs a person: {summary.waiting} orders wait for stock.")
    scarce = summary.scarcest
    if scarce is None:
        return
    name = f" ({escape(summary.scarcest_name)})" if summary.scarcest_name else ""
    match scarce.released:
        case 0:
            effect = "is what they lack of it; each of them lacks something else too"
        case scarce.waiting:
            effect = "releases them"
        case some:
            effect = f"releases {some} of them"
    console.print(f"  Scarcest: item {escape(scarce.item_id)}{name}, {scarce.waiting} orders wait for it.")
    item = escape(shlex.quote(scarce.item_id))
    console.print(f"  [bold]{command} receive {item} {scarce.quantity}[/bold] {effect}.")
