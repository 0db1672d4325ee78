"""What goes into a fit and what comes out of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

QUANTILES: Final = (0.1, 0.5, 0.9, 0.95, 0.98)

NAMED: Final = 3
"""A combination is named after so many of its best models."""

Kind = Literal["single", "weighted", "median"]
Rule = Literal["outlier", "out_of_stock", "feed_down", "row_missing", "ended"]
DemandClass = Literal["smooth", "erratic", "intermittent", "lumpy", "none"]


PRICE: Final = "price"

Elsewhere = Literal["zero", "unknown"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A value of a driver on the days from `first` to `last`. All days are ordinals, as of `date.toordinal`.

    Origins from `known` on see it, until those from `ended` on. None is for ever. `elsewhere`: what the driver is on
    days without a plan. A sum has the plans of its `part`s, and its driver is the sum of theirs, each times the
    `share` of the part.
    """

    name: str
    first: int
    last: int | None
    value: float
    known: int = 0
    ended: int | None = None
    elsewhere: Elsewhere = "zero"
    part: int = 0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class History:
    """The demand of one series, a value for each day from `start` to the day before the origin.

    A value is in base units of the item, and `nan` where it is not known. `whole`: the unit is not divisible.
    `drivers` has, by name, a value for each of these days and of the horizon, which was always known. `plans` are
    drivers that became known at some time; the later of two plans for a day replaces the earlier one.
    On `censored` days the item was out of stock: the value is a lower bound. `missing`: why days are not known.
    A person undid the cleaning of the days that are `kept`, and stated the values that are `pinned`.
    """

    series: str
    start: date
    values: Sequence[float]
    whole: bool = True
    category: str | None = None
    drivers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    plans: Sequence[Plan] = ()
    censored: frozenset[date] = frozenset()
    missing: Mapping[date, Rule] = field(default_factory=dict)
    kept: frozenset[date] = frozenset()
    pinned: Mapping[date, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a series is forecast until it is chosen anew.

    `weights` has the models, the best first. Those of `single` and `median` are 1. `daily` and `sums` are errors of the
    backtest in units of the expected spread, for each of QUANTILES. `daily` is of the days of each week of the horizon,
    `sums` of the first 1…horizon days together. `error` is the mean absolute error of a day in the first
    week, None without a backtest.
    """

    kind: Kind
    weights: Mapping[str, float]
    daily: Sequence[Sequence[float]]
    sums: Sequence[Sequence[float]]
    error: float | None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return named(self.kind, self.weights)

    def same(self, kind: Kind, weights: Mapping[str, float]) -> bool:
        """Return whether these are the same models, perhaps with other weights."""
        return self.weights.keys() == weights.keys() and (len(weights) == 1 or kind == self.kind)


@dataclass(frozen=True, slots=True)
class Change:
    """Errors in the same backtest, as multiples of that of seasonal naive: of the choice so far, and of the new one."""

    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Task:
    """Series to forecast for the `horizon` days from `origin` on. `cheap` allows only models that take no fit.

    `refit` fits the models of the `choices` again. `full` chooses anew, and keeps a choice unless another is clearly
    better. `closed` are the days on which nothing is sold, in the past and in the horizon.
    """

    origin: date
    horizon: int
    histories: Sequence[History]
    level: Literal["cheap", "refit", "full"] = "full"
    closed: frozenset[date] = frozenset()
    choices: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fan:
    """Mean and quantiles, an array for each of QUANTILES, of each day and of the sum of the first 1…horizon days."""

    mean: Sequence[float]
    quantiles: Sequence[Sequence[float]]
    cumulative: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Decision:
    """Models learn `after` from a day, and not `before`, which is null if nothing is known. The demand stays."""

    day: date
    rule: Rule
    reason: str
    before: float | None
    after: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The forecast of one series. A combination is named like `median: theta, ets`.

    `why` is the reason if it is not by the model that would have been chosen. `choice` is that of a full choice, and
    `change` has its error and that of the choice that it replaces."""

    series: str
    model: str
    demand_class: DemandClass
    fan: Fan
    scores: Mapping[str, float] = field(default_factory=dict)
    why: str | None = None
    choice: Choice | None = None
    change: Change | None = None
    decisions: Sequence[Decision] = ()


def named(kind: Kind, models: Iterable[str]) -> str:
    """Return a name like `median: theta, ets`. `models` are those of a combination, the best first."""
    names = list(models)
    return names[0] if len(names) == 1 else f"{kind}: {', '.join(names[:NAMED])}"
