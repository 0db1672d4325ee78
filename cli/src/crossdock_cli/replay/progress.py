"""Draw the progress bar of the replay."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from crossdock_cli.replay.posting import Failed, Pace, Posted
from crossdock_cli.replay.subscriber import Seen

RATE_OVER_SECONDS = 1.0


@contextmanager
def bar(console: Console, pace: Pace, orders: int, seen: Seen) -> Iterator[Callable[[Posted | Failed], None]]:
    """Yield a function to call with every answer. Draw nothing without a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), _Live(pace, seen))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("the trading day", total=orders)
        yield lambda _: progress.advance(task)


class _Live(ProgressColumn):
    """Simulated clock, orders and events. Reads the current numbers whenever the bar is drawn."""

    def __init__(self, pace: Pace, seen: Seen) -> None:
        super().__init__()
        self._pace, self._seen = pace, seen
        self._since, self._count, self._rate = time.perf_counter(), seen.events.total(), 0.0

    def render(self, task: Task) -> Text:
        clock = f"{self._pace.clock(task.elapsed or 0.0)}  " if self._pace.seconds else ""
        return Text(f"{clock}{task.completed:.0f}/{task.total:.0f} orders  {self._events_a_second():,.0f} events/s")

    def _events_a_second(self) -> float:
        now = time.perf_counter()
        if (passed := now - self._since) >= RATE_OVER_SECONDS:
            total = self._seen.events.total()
            self._rate = (total - self._count) / passed
            self._since, self._count = now, total
        return self._rate
