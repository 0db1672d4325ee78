"""When a new forecast is worth an event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from typing import Final, TypeAlias
from uuid import UUID

from forecast_service.fitting.series import QUANTILES

LEADS: Final = (7, 28)
"""Days whose sums are compared."""
LEVELS: Final = (0.5, 0.9)
MOVED: Final = 0.05
UNITS: Final = 1.0
OLDEST: Final = timedelta(days=7)
OLDEST_CHOICE: Final = 7
"""Models are chosen anew once in so many nights, each night for a part of the series."""
FEWEST_DAYS: Final = 3
"""Days since the choice from which drift can be seen."""
DEVIATIONS: Final = 3.0
LEAST_ERROR: Final = 0.1
"""Errors of a day, in base units, that are too small to be drift, also if there were none in the backtest."""


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


def due(series: UUID, chosen: date, origin: date) -> bool:
    """Return whether the night of a series has come since its models were chosen. It follows from its id."""
    night = series.bytes[-1] % OLDEST_CHOICE
    return (origin.toordinal() + night) // OLDEST_CHOICE > (chosen.toordinal() + night) // OLDEST_CHOICE


def drifted(error: float, days: int, expected: float | None) -> bool:
    """Return whether the errors since the choice are larger than those of its backtest by more than chance.

    `error` is the sum of absolute errors of so many days, `expected` the mean one of the backtest, None without one.
    Absolute errors deviate about as much as their mean, so the mean of n days has the deviation 1 / √n of it.
    """
    if expected is None or days < FEWEST_DAYS:
        return False
    return error > days * max(expected, LEAST_ERROR) * (1 + DEVIATIONS / sqrt(days))
