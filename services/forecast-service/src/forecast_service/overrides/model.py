"""What planners state in place of a forecast: how it is spread over series and days, and how it is applied."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from math import sqrt
from statistics import NormalDist
from typing import Final, Literal, TypeAlias
from uuid import UUID

from forecast_service.fitting.series import QUANTILES, Fan

Level: TypeAlias = Literal["item", "category", "total"]
Kind: TypeAlias = Literal["absolute", "percent", "add"]
Status: TypeAlias = Literal["in_force", "withdrawn", "expired"]

ORDER: Final[Sequence[Level]] = ("total", "category", "item")
"""The order in which the overrides of a day apply: the most specific one comes last."""
MOST: Final = 10**12
MOST_PERCENT: Final = 10_000
EXACT: Final = 10**6
"""Weights of a spread count in millionths, so that shares are computed with integers."""
NOTHING: Final = 1e-9
"""A mean below this is none: its quantiles cannot be scaled."""
Z: Final = tuple(NormalDist().inv_cdf(level) for level in QUANTILES)


class OverrideError(Exception):
    """A request about an override that cannot be met.

    - NoSuchOverride
    - InvalidOverride: its value or its days are impossible
    - NothingToOverride: no forecast fits
    - Overlapping: another override of the same target has a day in common
    - OverrideEnded: it is withdrawn or expired
    """


class NoSuchOverride(OverrideError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"There is no override {id}")


class InvalidOverride(OverrideError):
    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field} {detail}")
        self.errors = [{"pointer": f"/{field}", "detail": detail, "code": "range"}]


class NothingToOverride(OverrideError):
    def __init__(self, target: "Target") -> None:
        detail = f"{target} has no forecast: start a run"
        super().__init__(detail)
        pointer = {"total": "", "item": "/item_id", "category": "/category"}[target.level]
        if target.location_id is not None:
            pointer = "/location_id"
        self.errors = [{"pointer": pointer, "detail": detail, "code": "unknown"}]


class Overlapping(OverrideError):
    def __init__(self, id: UUID, target: "Target", first_day: date, last_day: date) -> None:
        super().__init__(f"{target} is overridden from {first_day} to {last_day} by {id}: withdraw it first")
        self.id = id
        self.extra = {"override_id": str(id)}


class OverrideEnded(OverrideError):
    def __init__(self, id: UUID, status: str) -> None:
        super().__init__(f"The override {id} is {status}")


@dataclass(frozen=True, slots=True)
class Target:
    """An item, a category, or (with neither) all items: their whole forecasts, or those at a location."""

    item_id: str | None = None
    category: str | None = None
    location_id: str | None = None

    @property
    def level(self) -> Level:
        return "item" if self.item_id is not None else "category" if self.category is not None else "total"

    def __str__(self) -> str:
        names = {"item": f"The item {self.item_id}", "category": f"The category {self.category}", "total": "The total"}
        return names[self.level] + ("" if self.location_id is None else f" at {self.location_id}")


@dataclass(frozen=True, slots=True)
class Terms:
    """The change. `absolute` and `add` are about the sum of the days, in base units. `percent` changes each day."""

    kind: Kind
    value: float
    first_day: date
    last_day: date

    def check(self) -> None:
        """Raise InvalidOverride."""
        if self.last_day < self.first_day:
            raise InvalidOverride("last_day", f"must be {self.first_day} or later")
        if self.kind == "percent":
            if not -100 <= self.value <= MOST_PERCENT:
                raise InvalidOverride("value", f"must be from -100 to {MOST_PERCENT} percent")
        elif self.value != int(self.value):
            raise InvalidOverride("value", "must be a whole number of base units")
        if self.kind == "absolute" and self.value < 0:
            raise InvalidOverride("value", "must be at least 0")
        if (self.kind == "add" and self.value == 0) or (self.kind == "percent" and self.value == 0):
            raise InvalidOverride("value", "must not be 0, which changes nothing")

    def check_days(self, first: date, last: date) -> None:
        """Raise InvalidOverride unless the days are among those of the forecasts."""
        if self.first_day < first:
            raise InvalidOverride("first_day", f"must be {first} or later: forecasts begin then")
        if self.last_day > last:
            raise InvalidOverride("last_day", f"must be {last} or earlier: forecasts end then")

    def of(self, origin: date, means: Sequence[float]) -> Sequence[float]:
        """Return the part of a forecast that is in these days."""
        return means[max(0, (self.first_day - origin).days) : max(0, (self.last_day - origin).days + 1)]

    def spread(self, forecasts: Sequence[Sequence[float]]) -> list[list[float] | None]:
        """Return what each series gets on each day. `forecasts` are those of the series on the days of the override.

        The parts of series are whole, add up to the value exactly, and are proportional to the forecasts. They are
        equal if all forecasts are zero. A percentage is not spread.
        """
        if self.kind == "percent":
            return [None] * len(forecasts)
        parts = shares(int(self.value), [sum(each) for each in forecasts])
        return [by_day(part, each) for part, each in zip(parts, forecasts, strict=True)]


def shares(quantity: int, weights: Sequence[float]) -> list[int]:
    """Return whole parts of a quantity in proportion to the weights, by the method of the largest remainder."""
    exact = [round(each * EXACT) for each in weights]
    if not any(exact):
        exact = [1] * len(weights)
    total, whole = sum(exact), abs(quantity)
    parts = [whole * each // total for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (-(whole * exact[place] % total), place))
    for place in by_remainder[: whole - sum(parts)]:
        parts[place] += 1
    return [-part for part in parts] if quantity < 0 else parts


def by_day(part: int, means: Sequence[float]) -> list[float]:
    """Return a part on each day, in proportion to the forecast. Days are equal if it is zero."""
    total = sum(means)
    if total < NOTHING:
        return [part / len(means)] * len(means)
    return [part * (each / total) for each in means]


@dataclass(frozen=True, slots=True)
class InForce:
    """An override as it applies to one series. `daily` has what the series gets on each day from the first one on."""

    id: UUID
    level: Level
    terms: Terms
    daily: Sequence[float] | None

    def touches(self, origin: date, horizon: int) -> bool:
        return self.terms.first_day < origin + timedelta(days=horizon) and origin <= self.terms.last_day

    def changed(self, day: date, mean: float) -> float:
        """Return the mean of a day after this override."""
        place = (day - self.terms.first_day).days
        if not 0 <= place <= (self.terms.last_day - self.terms.first_day).days:
            return mean
        if self.daily is None:
            return mean * (1 + self.terms.value / 100)
        if place >= len(self.daily):  # the forecast that was spread ended before
            return mean
        return self.daily[place] if self.terms.kind == "absolute" else max(0.0, mean + self.daily[place])


def in_order(overrides: Sequence[InForce], origin: date, horizon: int) -> list[InForce]:
    """Return the overrides that change a forecast, in the order in which they apply."""
    found = [each for each in overrides if each.touches(origin, horizon)]
    return sorted(found, key=lambda each: (ORDER.index(each.level), each.terms.first_day, each.id))


def apply(fan: Fan, origin: date, overrides: Sequence[InForce], *, whole: bool) -> Fan:
    """Return a forecast after overrides, which are in their order. Quantiles move with the means.

    The distance of a quantile from the mean grows with the root of the mean, as the spread of counts does. A day whose
    mean was zero gets the spread of a Poisson distribution. Sums move like days, and never fall from day to day.
    """
    if not overrides:
        return fan
    days = [origin + timedelta(days=n) for n in range(len(fan.mean))]
    means = list(fan.mean)
    for each in overrides:
        means = [each.changed(day, mean) for day, mean in zip(days, means, strict=True)]
    sums = list(accumulate(fan.mean)), list(accumulate(means))
    quantiles = [
        [_moved(*each, z, whole) for each in zip(row, fan.mean, means, strict=True)]
        for row, z in zip(fan.quantiles, Z, strict=True)
    ]
    cumulative = [
        list(accumulate((_moved(*each, z, whole) for each in zip(row, *sums, strict=True)), max))
        for row, z in zip(fan.cumulative, Z, strict=True)
    ]
    return Fan(means, quantiles, cumulative)


def _moved(quantile: float, before: float, after: float, z: float, whole: bool) -> float:
    if after == before:
        return quantile
    distance = z * sqrt(after) if before < NOTHING else (quantile - before) * sqrt(after / before)
    value = after + distance
    return max(0.0, float(round(value)) if whole else value)
