"""All series of a task as one matrix, aligned at the origin."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from forecast_service.fitting.cleaning import Cleaned, Marks, clean, planned
from forecast_service.fitting.metrics import Array, nanmean
from forecast_service.fitting.plans import Plans
from forecast_service.fitting.series import Task

NEIGHBOURS: Final = (-1, 1, -2, 2)
"""A gap is filled with the mean of the same weekday in these weeks around it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Series that end on the day before the origin.

    `values`: (series, days), `nan` where the demand is unknown, on closed days and before the first sale.
    `filled`: what models learn from: cleaned, and without gaps from the first sale on. A cut panel is cleaned and
    filled again, from its own past alone.
    `first`: the index of the first sale in each row, or the number of days if there is none.
    `closed`: of each day, and of each day of the horizon. `drivers`: by name, (series, days + horizon), `nan` where the
    horizon is not known. It has those of `plans` as the origin knew them.
    """

    values: Array
    closed: npt.NDArray[np.bool_]
    horizon: int
    origin: int = 0
    season: int = 7
    drivers: dict[str, Array] = field(default_factory=dict)
    plans: Plans = field(default_factory=lambda: Plans.of([]))
    marks: Marks | None = None
    first: npt.NDArray[np.int64] = field(init=False)
    cleaned: Cleaned = field(init=False)
    filled: Array = field(init=False)

    def __post_init__(self) -> None:
        values = np.where(np.isfinite(self.values), np.maximum(self.values, 0.0), np.nan)
        values[:, self.closed[: values.shape[1]]] = np.nan
        sold = values > 0
        first = np.where(sold.any(axis=1), sold.argmax(axis=1), values.shape[1])
        values[np.arange(values.shape[1]) < first[:, None]] = np.nan
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "first", first.astype(np.int64))
        marks = self.marks or Marks.none(*values.shape)
        nothing = self.closed[: values.shape[1]] | (np.arange(values.shape[1]) < first[:, None])
        marks = Marks(marks.censored, marks.kept, np.where(nothing, np.nan, marks.pinned))
        cleaned = clean(values, marks, planned(self.drivers.values(), *values.shape), self.season)
        object.__setattr__(self, "cleaned", cleaned)
        object.__setattr__(self, "filled", _filled(cleaned.values, first, self.season))

    @classmethod
    def of(cls, task: Task) -> Self:
        """Align the histories of a task. Days before the start of a history are unknown."""
        days = max((len(each.values) for each in task.histories), default=0) or 1
        values = np.full((len(task.histories), days), np.nan)
        for known, history in zip(values, task.histories, strict=True):
            known[days - len(history.values) :] = history.values
        origin = task.origin.toordinal()
        closed = {day.toordinal() for day in task.closed}
        names = sorted({name for each in task.histories for name in each.drivers})
        drivers = {name: np.full((len(values), days + task.horizon), np.nan) for name in names}
        for index, history in enumerate(task.histories):
            for name, row in history.drivers.items():
                drivers[name][index, days + task.horizon - len(row) :] = row
        plans = Plans.of([each.plans for each in task.histories])
        marks = Marks.none(*values.shape)
        first = origin - days
        for index, history in enumerate(task.histories):
            for flags, marked in ((marks.censored, history.censored), (marks.kept, history.kept)):
                flags[index, _places(marked, first, days)] = True
            marks.pinned[index, _places(history.pinned, first, days)] = [
                value for day, value in history.pinned.items() if 0 <= day.toordinal() - first < days
            ]
        return cls(
            values,
            np.array([day in closed for day in range(first, origin + task.horizon)], dtype=bool),
            task.horizon,
            origin,
            drivers=drivers | plans.drivers(origin, len(values), days, task.horizon),
            plans=plans,
            marks=marks,
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def days(self) -> int:
        return int(self.values.shape[1])

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Days from the first sale to the origin, for each series."""
        return self.days - self.first

    @property
    def ahead(self) -> npt.NDArray[np.bool_]:
        """True for each day of the horizon that is closed."""
        return self.closed[self.days :]

    @property
    def foreseen(self) -> npt.NDArray[np.bool_]:
        """True for each series whose drivers are known on all days of the horizon."""
        known = [np.isfinite(each[:, self.days :]).all(axis=1) for each in self.drivers.values()]
        return np.asarray(np.logical_and.reduce([np.ones(len(self), dtype=bool), *known]))

    def unforeseen(self, index: int) -> list[str]:
        """Return the drivers of a series that are not known on all days of the horizon."""
        return [name for name, each in self.drivers.items() if not np.isfinite(each[index, self.days :]).all()]

    @property
    def observed(self) -> Array:
        """Return what forecasts are judged by: the demand of days on which the item was not out of stock."""
        return np.where(self.cleaned.censored, np.nan, self.values)

    def row(self, index: int) -> Array:
        """Return a series from its first sale on, without gaps."""
        return self.filled[index, self.first[index] :]

    def cut(self, days: int) -> "Panel":
        """Return what was known so many days before the origin. Closed days and `drivers` were, `plans` may not."""
        end, planned = self.days - days, frozenset(self.plans.names)
        always = {name: each[:, : end + self.horizon] for name, each in self.drivers.items() if name not in planned}
        return Panel(
            self.values[:, :end].copy(),
            self.closed[: end + self.horizon],
            self.horizon,
            self.origin - days,
            self.season,
            always | self.plans.drivers(self.origin - days, len(self), end, self.horizon),
            self.plans,
            self.marks and self.marks.cut(end),
        )

    def since(self, days: int) -> Array:
        """Return (series, horizon) of what came after the origin of `cut(days)`, `nan` where it is not known."""
        found = np.full((len(self), self.horizon), np.nan)
        known = self.observed[:, self.days - days :][:, : self.horizon]
        found[:, : known.shape[1]] = known
        return found

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Panel":
        """Return a panel of these series. They are clean and filled."""
        rows, found = np.asarray(rows, dtype=np.int64), copy(self)
        for name in ("values", "first", "filled"):
            object.__setattr__(found, name, getattr(self, name)[rows])
        object.__setattr__(found, "drivers", {name: each[rows] for name, each in self.drivers.items()})
        object.__setattr__(found, "plans", self.plans.take(rows))
        object.__setattr__(found, "marks", self.marks and self.marks.take(rows))
        object.__setattr__(found, "cleaned", self.cleaned.take(rows))
        return found


def _places(days: Iterable[date], first: int, count: int) -> list[int]:
    return [day.toordinal() - first for day in days if 0 <= day.toordinal() - first < count]


def _filled(values: Array, first: npt.NDArray[np.int64], season: int) -> Array:
    """Fill gaps with the mean of the same weekday in near weeks, else with the mean of the series."""
    gaps = np.isnan(values) & (np.arange(values.shape[1]) >= first[:, None])
    if not gaps.any():
        return values
    near = []
    for weeks in NEIGHBOURS:
        shifted = np.full_like(values, np.nan)
        step = weeks * season
        if abs(step) < values.shape[1]:
            if step < 0:
                shifted[:, -step:] = values[:, :step]
            else:
                shifted[:, :-step] = values[:, step:]
        near.append(shifted)
    guess = nanmean(np.stack(near), axis=0)
    guess = np.where(np.isnan(guess), nanmean(values)[:, None], guess)
    return np.where(gaps, guess, values)
