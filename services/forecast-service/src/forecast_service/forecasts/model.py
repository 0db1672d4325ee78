"""When a new forecast is worth an event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeAlias

from forecast_service.fitting.series import QUANTILES

LEADS: Final = (7, 28)
"""Days whose sums are compared."""
LEVELS: Final = (0.5, 0.9)
MOVED: Final = 0.05
UNITS: Final = 1.0
OLDEST: Final = timedelta(days=7)


Cumulative: TypeAlias = Sequence[Sequence[float]]
"""Quantiles of the sum of the first 1, 2, … days: an array for each of QUANTILES."""


@dataclass(frozen=True, slots=True)
class Believed:
    """The forecast that was published last."""

    origin: date
    cumulative: Cumulative


def moved(before: Believed | None, origin: date, now: Cumulative) -> bool:
    """Return whether to publish a forecast.

    It is published if there was none, or if the last one is 7 days old. Otherwise p50 or p90 of the demand of the next
    7 or 28 days must have moved by more than 5 % and a unit.
    """
    if before is None or origin - before.origin >= OLDEST or origin < before.origin:
        return True
    for level in LEVELS:
        old, new = (each[QUANTILES.index(level)] for each in (before.cumulative, now))
        for lead in LEADS:
            last = min(lead, len(old), len(new)) - 1
            change = abs(new[last] - old[last])
            if change > UNITS and change > MOVED * old[last]:
                return True
    return False
