"""What goes into a fit and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

QUANTILES: Final = (0.1, 0.5, 0.9, 0.95, 0.98)

DemandClass = Literal["smooth", "erratic", "intermittent", "lumpy", "none"]


PRICE: Final = "price"

Elsewhere = Literal["zero", "unknown"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A value of a driver on the days from `first` to `last`. All days are ordinals, as of `date.toordinal`.

    Origins from `known` on see it, until those from `ended` on. None is for ever. `elsewhere`: what the driver is on
    days without a plan.
    """

    name: str
    first: int
    last: int | None
    value: float
    known: int = 0
    ended: int | None = None
    elsewhere: Elsewhere = "zero"


@dataclass(frozen=True, slots=True)
class History:
    """The demand of one series, a value for each day from `start` to the day before the origin.

    A value is in base units of the item, and `nan` where it is not known. `whole`: the unit is not divisible.
    `drivers` has, by name, a value for each of these days and of the horizon, which was always known. `plans` are
    drivers that became known at some time; the later of two plans for a day replaces the earlier one.
    """

    series: str
    start: date
    values: Sequence[float]
    whole: bool = True
    category: str | None = None
    drivers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    plans: Sequence[Plan] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """Series to forecast for the `horizon` days from `origin` on. `cheap` allows only models that take no fit.

    `closed` are the days on which nothing is sold, in the past and in the horizon.
    """

    origin: date
    horizon: int
    histories: Sequence[History]
    level: Literal["cheap", "full"] = "full"
    closed: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Fan:
    """Mean and quantiles, an array for each of QUANTILES, of each day and of the sum of the first 1…horizon days."""

    mean: Sequence[float]
    quantiles: Sequence[Sequence[float]]
    cumulative: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The forecast of one series. A combination is named like `median: theta, ets`.

    `why` is the reason if it is not by the model that would have been chosen."""

    series: str
    model: str
    demand_class: DemandClass
    fan: Fan
    scores: Mapping[str, float] = field(default_factory=dict)
    why: str | None = None
