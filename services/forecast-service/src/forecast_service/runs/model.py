"""What a run consists of, and what a series gets if it cannot be forecast."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import isfinite, sqrt
from statistics import NormalDist, fmean, pstdev
from typing import Final, Literal, TypeAlias
from uuid import UUID

from forecast_service.fitting.series import QUANTILES, Fan, History, Outcome
from forecast_service.places import LEVELS, SeriesLevel

HORIZON: Final = 56
LONGEST_HORIZON: Final = 366
MAX_ATTEMPTS: Final = 10
"""A chunk that so many runners began and none finished gets the fallback."""
RECENT: Final = 28

State: TypeAlias = Literal["running", "done", "cancelled"]
Level: TypeAlias = Literal["cheap", "refit", "full", "reconcile"]


class RunError(Exception):
    """A request about a run that cannot be met.

    - NoSuchRun
    - OriginNotReached, NothingToForecast, UnknownSeries: nothing to run
    - AnotherRun: a run of the same series is running, with another horizon or deadline
    - RunNotWhole, RunForgotten: its forecasts cannot be summed
    - RunEnded: it is done, and cannot be cancelled or resumed
    """


class NoSuchRun(RunError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"There is no run {id}")


class OriginNotReached(RunError):
    """Demand before the origin is not whole yet."""

    def __init__(self, origin: date | None, latest: date | None) -> None:
        detail = "Demand is not counted yet: try again in a minute"
        if latest is not None:
            detail = f"The last origin is {latest}: demand of that day is not whole yet"
        super().__init__(detail)
        self.errors = ({"pointer": "/origin", "detail": detail, "code": "too_late"},)


class NothingToForecast(RunError):
    """No active item that fits the filter has demand before the origin."""

    def __init__(self, origin: date) -> None:
        super().__init__(f"No active item that fits has demand before {origin}")


class UnknownSeries(RunError):
    def __init__(self, unknown: Sequence[tuple[int, UUID]]) -> None:
        super().__init__(f"{len(unknown)} series do not exist, or have no demand before the origin")
        self.errors = [
            {"pointer": f"/series/{place}", "detail": f"no series {id} has demand", "code": "unknown"}
            for place, id in unknown
        ]


class AnotherRun(RunError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"The run {id} of these series is running: wait for its end, or cancel it")
        self.id = id
        self.extra = {"run_id": str(id)}


class RunEnded(RunError):
    def __init__(self, id: UUID, state: str) -> None:
        super().__init__(f"The run {id} is {state}")


class RunNotWhole(RunError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"The run {id} has some items only: reconcile a run of all items, or of a category")


class RunForgotten(RunError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"Forecasts of the run {id} are no longer kept: request a new run")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which series a run forecasts: those that meet every condition."""

    item_prefix: str | None = None
    category: str | None = None
    series: tuple[UUID, ...] | None = None
    levels: tuple[SeriesLevel, ...] = LEVELS[:1]

    @property
    def scope(self) -> str:
        """Return a text that is equal for equal filters, and for no others."""
        series = self.series and sorted(map(str, set(self.series)))
        return repr((self.item_prefix, self.category, series, self.levels))


@dataclass(frozen=True, slots=True)
class Chunk:
    number: int
    level: Level
    series: Sequence[UUID]


def plan(series: Sequence[UUID], size: int, *, cheap_first: bool, refit: Set[UUID] = frozenset()) -> list[Chunk]:
    """Return the chunks of a run in the order of work. `series` are in the order of their value.

    With `cheap_first`, all series get a cheap model before the first one gets its full choice. The models of series in
    `refit` are fitted again; the others are chosen.
    """
    again = [each for each in series if each in refit]
    anew = [each for each in series if each not in refit]
    levels: list[tuple[Level, Sequence[UUID]]] = [("refit", again), ("full", anew)]
    if cheap_first:
        levels.insert(0, ("cheap", series))
    parts = [(level, of[start : start + size]) for level, of in levels for start in range(0, len(of), size)]
    return [Chunk(number, level, part) for number, (level, part) in enumerate(parts)]


def usable(outcome: Outcome, horizon: int) -> bool:
    """Return whether the forecast has a number for each day and level: finite, not negative, and in order."""
    fan = outcome.fan
    levels = [*fan.quantiles, *fan.cumulative]
    return (
        len(fan.quantiles) == len(fan.cumulative) == len(QUANTILES)
        and all(len(each) == horizon and all(isfinite(value) and value >= 0 for value in each) for each in levels)
        and len(fan.mean) == horizon
        and all(isfinite(value) and value >= 0 for value in fan.mean)
        and all(
            low <= high
            for rows in (fan.quantiles, fan.cumulative)
            for lower, upper in pairwise(rows)
            for low, high in zip(lower, upper, strict=True)
        )
    )


def fallback(history: History, horizon: int, why: str) -> Outcome:
    """Return the mean of the last 28 known days for each day, with normal quantiles of independent days."""
    recent = [value for value in history.values[-RECENT:] if isfinite(value)] or [0.0]
    mean, spread = max(0.0, fmean(recent)), pstdev(recent)

    def level(probability: float, days: int) -> float:
        value = max(0.0, days * mean + NormalDist().inv_cdf(probability) * spread * sqrt(days))
        return float(round(value)) if history.whole else value

    return Outcome(
        history.series,
        "fallback",
        "none",
        Fan(
            [mean] * horizon,
            [[level(each, 1)] * horizon for each in QUANTILES],
            [[level(each, days) for days in range(1, horizon + 1)] for each in QUANTILES],
        ),
        why=why,
    )
