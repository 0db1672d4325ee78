"""What demand is: which orders count, and for how long they may change."""

from datetime import timedelta
from typing import Final

MEMORY: Final = timedelta(days=400)
"""How long after its placement an order can still change what was counted for it."""

SERVED_TOO_LATE: Final = frozenset({"no_answer", "backorder_expired", "too_slow"})
"""Reasons of a cancellation after which the demand stays, because it was there and could not be served in time."""


def withdraws(reason: str) -> bool:
    """Return whether a cancellation with this reason takes the demand back."""
    return reason not in SERVED_TOO_LATE
