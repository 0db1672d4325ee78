"""How good forecasts were: errors of the mean, and how often demand stayed below a quantile."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """A day of a series: what was forecast, what seasonal naive would have forecast, and what was asked for."""

    actual: float
    mean: float
    naive: float
    p90: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Sums over days and series.

    WAPE = Σ|e| / Σ|y| and bias = Σ(forecast - actual) / Σ|y|. Both are None if nothing was asked for. Of demand that is
    a whole number, a share of at least 0.9 is expected to be at or below p90.
    """

    count: int
    actual: float
    wape: float | None
    bias: float | None
    naive_wape: float | None
    at_or_below_p90: float | None


def score(days: Iterable[Scored]) -> Scores:
    count, actual, absolute, signed, naive, covered = 0, 0.0, 0.0, 0.0, 0.0, 0
    for day in days:
        count += 1
        actual += abs(day.actual)
        absolute += abs(day.mean - day.actual)
        signed += day.mean - day.actual
        naive += abs(day.naive - day.actual)
        covered += day.actual <= day.p90
    return Scores(
        count,
        actual,
        absolute / actual if actual else None,
        signed / actual if actual else None,
        naive / actual if actual else None,
        covered / count if count else None,
    )
