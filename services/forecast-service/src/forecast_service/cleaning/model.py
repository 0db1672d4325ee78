"""Which days are not known, and how a person may judge a decision."""

from collections import deque
from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

Verdict: TypeAlias = Literal["undone", "pinned"]

BEFORE: Final = 28
"""The feed was down on a day without any demand if each of so many open days before it had some."""
ITEMS: Final = 5
"""Items that must have had demand on each of these days: with fewer, an empty day may be chance."""
LONGEST: Final = 28
"""A feed that is silent for longer is not down: nothing was asked for."""
RECENT: Final = timedelta(days=7)
"""An outlier is announced if its day is among so many before the origin."""


class CleaningError(Exception):
    """A request about the cleaning of a series that cannot be met.

    - NoSuchSeries
    - NoSuchDecision: nothing was decided about the day
    - NotPinnable: that a series has ended is judged by each run anew
    """


class NoSuchSeries(CleaningError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"There is no series {id}")


class NoSuchDecision(CleaningError):
    def __init__(self, day: date) -> None:
        super().__init__(f"The last run cleaned nothing on {day}")


class NotPinnable(CleaningError):
    def __init__(self) -> None:
        super().__init__("Each run judges anew whether a series has ended: discontinue the item instead")


def feed_down(items: Mapping[date, int], until: date, closed: Collection[date] = ()) -> frozenset[date]:
    """Return the days up to `until` on which the feed was down. `items`: how many had any demand, by day.

    A day is judged by the days before it alone, so a backtest may know the answer.
    """
    down: set[date] = set()
    recent: deque[int] = deque(maxlen=BEFORE)
    silent, first = 0, min(items, default=until)
    for number in range((until - first).days + 1):
        day = first + timedelta(days=number)
        count = items.get(day, 0)
        if day in closed:
            continue
        silent = 0 if count else silent + 1
        if not count and len(recent) == BEFORE and min(recent) >= ITEMS and silent <= LONGEST:
            down.add(day)
        else:
            recent.append(count)
    return frozenset(down)
