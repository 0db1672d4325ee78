"""Sums of forecasts: a category and the total of a place, and how they and their items agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate
from math import fsum, isfinite
from typing import Final, Literal, TypeAlias
from uuid import UUID

from forecast_service.fitting.series import QUANTILES, Fan, Outcome
from forecast_service.fitting.structure import Coherent, Structure

MOST_RECONCILED: Final = 5_000
TOTAL: Final = ""
"""The name of the node of all items. No category has it."""
NORMAL_80: Final = 2.5631
"""The distance between the quantiles 0.1 and 0.9 of a normal distribution, in standard deviations."""

Method: TypeAlias = Literal["min_trace", "bottom_up"]


@dataclass(frozen=True, slots=True)
class ItemForecast:
    """A forecast of a run. `spread` is the standard deviation of a day, from its quantiles."""

    series: UUID
    category: str | None
    mean: Sequence[float]
    spread: float


@dataclass(frozen=True, slots=True)
class Node:
    """The forecast of a category, or of the TOTAL. `fan` is None if the sum itself could not be forecast."""

    name: str
    items: int
    mean: Sequence[float]
    method: Method
    why: str | None
    model: str | None = None
    fan: Fan | None = None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The nodes of a place. `coherent` has the new means of items, and none if theirs stay as they are."""

    location_id: str
    region: str
    origin: date
    nodes: Sequence[Node]
    coherent: Sequence[tuple[UUID, Sequence[float]]] = ()


def spread_of(fan: Fan) -> float:
    low, high = (fan.quantiles[QUANTILES.index(level)] for level in (0.1, 0.9))
    return (fsum(high) - fsum(low)) / len(high) / NORMAL_80


def structure(names: Sequence[str], items: Sequence[ItemForecast], base: dict[str, Outcome]) -> Structure:
    """Return the forecasts of items and of the nodes with these names that have one, as one structure."""
    known = [name for name in names if name in base]
    place = {name: index for index, name in enumerate(known)}
    return Structure(
        [[place[name] for name in (TOTAL, item.category) if name in place] for item in items],
        [base[name].fan.mean for name in known],
        [spread_of(base[name].fan) for name in known],
        [item.mean for item in items],
        [item.spread for item in items],
    )


def usable(found: Coherent, items: Sequence[ItemForecast]) -> bool:
    return len(found.item_means) == len(items) and all(
        len(mean) == len(item.mean) and all(isfinite(value) and value >= 0 for value in mean)
        for mean, item in zip(found.item_means, items, strict=True)
    )


def summed(
    names: Sequence[str], items: Sequence[ItemForecast], base: dict[str, Outcome], method: Method, why: str | None
) -> list[Node]:
    """Return the nodes: each mean is the sum of its items, and its quantiles are those of the sum's own forecast.

    These come from errors of backtests of the sum, because quantiles of items cannot be added. They are moved to the
    new mean.
    """
    found = []
    for name in names:
        parts = [item.mean for item in items if name in (TOTAL, item.category)]
        if not parts:
            continue
        mean = [fsum(day) for day in zip(*parts, strict=True)]
        node = Node(name, len(parts), mean, method, why)
        if (own := base.get(name)) is not None:
            node = replace(node, model=own.model, fan=moved_to(own.fan, mean))
        found.append(node)
    return found


def moved_to(fan: Fan, mean: Sequence[float]) -> Fan:
    by = [new - old for new, old in zip(mean, fan.mean, strict=True)]
    sums = list(accumulate(by))
    daily = [[max(0.0, value + each) for value, each in zip(row, by, strict=True)] for row in fan.quantiles]
    cumulative = [
        list(accumulate((max(0.0, value + each) for value, each in zip(row, sums, strict=True)), max))
        for row in fan.cumulative
    ]
    return Fan(mean, daily, cumulative)
