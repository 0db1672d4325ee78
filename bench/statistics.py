"""The arithmetic of the table."""

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of them does not exceed (nearest rank). ValueError for none."""
    if not values:
        raise ValueError("of nothing there is no percentile")
    ordered = sorted(values)
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]


def middle(values: Sequence[float]) -> float:
    """The median, which one run that was disturbed does not move."""
    return median(values)


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median: how far runs of the same thing lie apart."""
    return (max(values) - min(values)) / median(values)
