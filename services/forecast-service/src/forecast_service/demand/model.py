"""What demand is: what an order counts, and for how long it may change."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

MEMORY: Final = timedelta(days=400)
"""How long after its placement an order can still change what was counted for it."""

SERVED_TOO_LATE: Final = frozenset({"no_answer", "backorder_expired", "too_slow"})
"""Reasons of a cancellation after which the demand stays, because it was there and could not be served in time."""

Days: TypeAlias = dict[tuple[str, str, str, date], int]
"""Quantities by item, location, region and day. An empty location and region mean the whole item."""


def withdraws(reason: str) -> bool:
    """Return whether a cancellation with this reason takes the demand back."""
    return reason not in SERVED_TOO_LATE


class Order(NamedTuple):
    """The facts of an order, or those of an event. What is not known is None.

    `ended_at` is the partner's cancellation or the placement of the order that replaces this one, whichever is first.
    `lines` has quantities by item, and `places` by item and the location that serves it. `region` is empty if the
    destination is not known.
    """

    placed_at: datetime | None = None
    day: date | None = None
    region: str | None = None
    ended_at: datetime | None = None
    reserved_at: datetime | None = None
    lines: Mapping[str, int] | None = None
    places: Mapping[str, Mapping[str, int]] | None = None

    def after(self, new: "Order") -> "Order":
        """Return the facts after an event with `new` ones, which replace the old. The first end stays."""
        both: Iterable[tuple[Any, Any]] = zip(self, new, strict=True)
        known = Order(*(old if told is None else told for old, told in both))
        if self.ended_at is None or new.ended_at is None:
            return known
        return known._replace(ended_at=min(self.ended_at, new.ended_at))

    def add(self, days: Days, sign: int) -> None:
        """Add what the order counts to days, or with the sign -1 take it back."""
        if self.placed_at is None or self.day is None or self.lines is None:
            return
        last_at = self.placed_at + MEMORY
        if self.ended_at is not None and self.ended_at <= last_at:
            return
        for item, quantity in self.lines.items():
            for region in {"", self.region or ""}:
                key = item, "", region, self.day
                days[key] = days.get(key, 0) + sign * quantity
        if self.places is None or self.reserved_at is None or self.reserved_at > last_at:
            return
        for item, places in self.places.items():
            for location, quantity in places.items():
                key = item, location, "", self.day
                days[key] = days.get(key, 0) + sign * quantity
