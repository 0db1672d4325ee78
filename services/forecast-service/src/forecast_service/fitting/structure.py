"""What goes into a reconciliation and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Structure:
    """Forecasts of items and of the nodes above them, each made alone.

    `above` has the indices of the nodes that each item is part of. Means are (nodes, horizon) and (items, horizon), and
    spreads are standard deviations of a day.
    """

    above: Sequence[Sequence[int]]
    node_means: Sequence[Sequence[float]]
    node_spreads: Sequence[float]
    item_means: Sequence[Sequence[float]]
    item_spreads: Sequence[float]


@dataclass(frozen=True, slots=True)
class Coherent:
    """Means of items that are not negative, (items, horizon). Those of a node are the sums of its items."""

    item_means: Sequence[Sequence[float]]
