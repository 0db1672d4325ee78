"""Planned drivers as matrices: what each origin knew of the days before and after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting.metrics import Array, nanmean
from forecast_service.fitting.series import PRICE, Plan

NEVER: Final = 2**31
LIMIT: Final = 3.0
"""A price counts as at most exp(3) = 20 times the usual one, or a twentieth of it."""
SMALLEST, LARGEST = 0.1, 10.0
"""Drivers whose largest value is outside of these bounds are scaled to 1, because regressions shrink coefficients."""


@dataclass(frozen=True, slots=True)
class Plans:
    """Plans of all series of a panel, in their order of precedence: later ones replace earlier ones.

    `rows` has the series of each plan, in ascending order, and the other arrays are parallel to it.
    """

    names: Sequence[str]
    name: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    value: Array
    known: npt.NDArray[np.int64]
    ended: npt.NDArray[np.int64]
    zero: npt.NDArray[np.bool_]
    part: npt.NDArray[np.int64]
    share: Array

    @classmethod
    def of(cls, plans: Sequence[Sequence[Plan]]) -> "Plans":
        """Collect the plans of each series."""
        flat = [(row, each) for row, of_series in enumerate(plans) for each in of_series]
        names = sorted({each.name for _, each in flat})
        places = {name: place for place, name in enumerate(names)}

        def numbers(values: Sequence[int | None]) -> npt.NDArray[np.int64]:
            return np.array([NEVER if value is None else value for value in values], dtype=np.int64)

        return cls(
            names,
            numbers([places[each.name] for _, each in flat]),
            numbers([row for row, _ in flat]),
            numbers([each.first for _, each in flat]),
            numbers([each.last for _, each in flat]),
            np.array([each.value for _, each in flat], dtype=float),
            numbers([each.known for _, each in flat]),
            numbers([each.ended for _, each in flat]),
            np.array([each.elsewhere == "zero" for _, each in flat], dtype=bool),
            numbers([each.part for _, each in flat]),
            np.array([each.share for _, each in flat], dtype=float),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Plans":
        """Return the plans of these series."""
        first, last = (np.searchsorted(self.rows, rows, side=side) for side in ("left", "right"))
        chosen = np.concatenate([np.arange(*each) for each in zip(first, last, strict=True)] or [first])
        new = np.repeat(np.arange(len(first)), last - first)
        parallel = (self.first, self.last, self.value, self.known, self.ended, self.zero, self.part, self.share)
        return Plans(self.names, self.name[chosen], new, *(each[chosen] for each in parallel))

    def drivers(self, origin: int, series: int, days: int, horizon: int) -> dict[str, Array]:
        """Return, by name, (series, days + horizon) as the origin knew them, `nan` for unknown days of the horizon.

        A driver without plans of a series is zero there. Unknown days before the origin have the mean of the series.
        A price is the logarithm of its ratio to the usual one, so that its coefficient is an elasticity.
        """
        start = origin - days
        seen = (self.known <= origin) & (self.ended > origin) & (self.first < origin + horizon) & (self.last >= start)
        begins, ends = np.maximum(self.first - start, 0), self.last - start + 1
        found = {}
        for name in np.unique(self.name[seen]).tolist():
            of_name = np.flatnonzero(seen & (self.name == name))
            most = int(self.part[of_name].max()) + 1
            parts, place = np.unique(self.rows[of_name] * most + self.part[of_name], return_inverse=True)
            values, zero, share = np.full((len(parts), days + horizon), np.nan), np.zeros(len(parts), bool), parts * 0.0
            for row, index in zip(place.tolist(), of_name.tolist(), strict=True):
                values[row, begins[index] : ends[index]] = self.value[index]
                zero[row], share[row] = self.zero[index], self.share[index]
            sums = np.zeros((series, days + horizon))
            np.add.at(sums, parts // most, share[:, None] * _filled(self.names[name], values, zero, days))
            found[self.names[name]] = _scaled(sums)
        return found


def _filled(name: str, values: Array, zero: npt.NDArray[np.bool_], days: int) -> Array:
    """Fill days without a plan."""
    values[zero] = np.nan_to_num(values[zero])
    if name == PRICE:
        values = np.log(np.where(values > 0, values, np.nan))
        values = np.clip(values - nanmean(values[:, :days])[:, None], -LIMIT, LIMIT)
    usual = np.nan_to_num(nanmean(values[:, :days]))
    past = values[:, :days]
    past[:] = np.where(np.isfinite(past), past, usual[:, None])
    return values


def _scaled(values: Array) -> Array:
    """Bring a driver to the scale of a regression."""
    largest = np.abs(np.nan_to_num(values)).max(initial=0.0)
    return values / largest if largest and not SMALLEST <= largest <= LARGEST else values
