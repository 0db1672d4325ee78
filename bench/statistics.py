"""Compute percentiles, medians and spreads."""

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed. Raise ValueError without values."""
    if not values:
        raise ValueError("no values: a percentile needs at least one")
    ordered = sorted(values)
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]


def middle(values: Sequence[float]) -> float:
    """Return the median, because a single disturbed run barely changes it."""
    return median(values)


def spread(values: Sequence[float]) -> float:
    """Return (largest - smallest) / median: the relative spread of repeated runs."""
    return (max(values) - min(values)) / median(values)
