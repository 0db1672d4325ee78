"""What a replay came to, and how it is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil

from rich.console import Console
from rich.table import Table

from crossdock_local.replay.waiting import Scarce


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, nearest rank."""

    count: int
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency | None":
        """None when there is nothing to measure."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        p50, p99 = (ordered[ceil(len(ordered) * share) - 1] * 1_000 for share in (0.50, 0.99))
        return cls(len(ordered), p50, p99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`outcomes` and `skipped` add up to `baskets`. Nothing undecided and nothing failed is what one wants to see.

    Both latencies end when the subscriber outside sees OrderConfirmed; `accepted` begins when the 201 has arrived,
    `posted` when its request was sent. All three are read from this process's monotonic clock.
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
        """Every basket was decided or skipped by a rule."""
        return self.accounted_for and not self.outcomes.get("undecided") and not self.outcomes.get("failed")


def show(summary: Summary, console: Console, *, command: str = "crossdock") -> None:
    """`command`: how the command line is called where this is read."""
    console.print(_outcomes(summary))
    console.print(_events(summary))
    for name, latency in (
        ("accept → confirmed", summary.accepted_to_confirmed),
        ("POST sent → confirmed", summary.posted_to_confirmed),
    ):
        if latency:
            console.print(f"{name}: p50 {latency.p50:.0f} ms · p99 {latency.p99:.0f} ms ({latency.count} orders)")
    if summary.accepted_to_confirmed:
        console.print(
            "  [dim]accept: the 201 has arrived here; confirmed: a subscriber outside sees OrderConfirmed; "
            "one process, one clock[/dim]"
        )
    for problem in summary.problems:
        console.print(f"[red]refused or failed:[/red] {problem}", highlight=False)
    _needs_a_person(summary, console, command)


def _outcomes(summary: Summary) -> Table:
    table = Table(
        title=f"{summary.date:%d %B %Y}: {summary.baskets} baskets, {summary.lines} lines", title_justify="left"
    )
    table.add_column("baskets")
    table.add_column("", justify="right")
    for outcome, count in summary.outcomes.items():
        if count or outcome in ("confirmed", "backordered"):
            table.add_row(outcome, str(count))
    for rule, count in summary.skipped.items():
        table.add_row(f"skipped: {rule}", str(count))
    total = sum(summary.outcomes.values()) + sum(summary.skipped.values())
    table.add_section()
    table.add_row("all", str(total))
    posted = sum(summary.outcomes.values())
    table.caption = (
        f"{posted} orders of {summary.stores} stores, {summary.value:,} USD, in {summary.posting_seconds:.1f} s"
    )
    if summary.existing:
        table.caption += f"; {summary.existing} were there already"
    return table


def _events(summary: Summary) -> Table:
    table = Table(title="Events a subscriber outside saw", title_justify="left")
    table.add_column("topic")
    table.add_column("", justify="right")
    for topic, count in sorted(summary.events.items()):
        table.add_row(topic, str(count))
    return table


def _needs_a_person(summary: Summary, console: Console, command: str) -> None:
    if not summary.waiting:
        console.print("Needs a person: nothing, no order waits for stock.")
        return
    console.print(f"Needs a person: {summary.waiting} orders wait for stock.")
    scarce = summary.scarcest
    if scarce is None:
        return
    name = f" ({summary.scarcest_name})" if summary.scarcest_name else ""
    which = "them" if scarce.released == scarce.waiting else f"{scarce.released} of them"
    console.print(f"  Scarcest: item {scarce.item_id}{name}, {scarce.waiting} orders wait for it.", highlight=False)
    console.print(
        f"  [bold]{command} receive {scarce.item_id} {scarce.quantity}[/bold] releases {which}.", highlight=False
    )
