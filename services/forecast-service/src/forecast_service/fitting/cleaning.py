"""Clean demand before models learn from it: outliers, days that were out of stock, and series that have ended.

The demand itself never changes. A panel that is cut is cleaned again, from its own past alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from forecast_service.fitting.metrics import Array, nanmean, nanmedian

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

NEAR: Final = 4
"""The usual demand of a day is the median of the same weekday in so many weeks before and after."""
FEWEST: Final = 3
"""Such days that must be known."""
FAR: Final = 6.0
"""An outlier is so many standard deviations from the usual demand, on the scale of square roots."""
MAD: Final = 1.4826
"""Times the median absolute deviation is the standard deviation of a normal distribution."""
POISSON: Final = 0.5
"""The standard deviation of the square root of a Poisson count (Anscombe, 1948). No series varies less."""
TIMES: Final = 3.0
TAIL: Final = 0.05
"""An outlier is above 3 times what 95 % of the days with demand had, or below a third of what 95 % of all days had."""
SALES: Final = 10
"""Days with demand that a series needs before a day of it can be an outlier."""
AROUND: Final = 3
COMPANY: Final = 2
CLEAR: Final = 2.0
"""If 2 of the days around are 2 standard deviations off too, something lasts: a new level, or a promotion."""
UNUSUAL: Final = 3.0
MOST: Final = 0.02
"""If more of its days were outliers, they are the nature of the series, and none is one."""
ROUNDS: Final = 10
COMPARED: Final = 8
"""A day that was out of stock is compared with the same weekday in so many weeks before and after."""
QUIET: Final = 91
GAPS: Final = 4
"""A series has ended if it had no demand for 13 weeks, and for 4 times its longest gap."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is known of days beside their demand, each (series, days).

    `censored`: the item was out of stock, so the demand is a lower bound. `kept`: a person undid a decision.
    `pinned`: the value that a person wants models to learn from, else `nan`.
    """

    censored: Flags
    kept: Flags
    pinned: Array

    @classmethod
    def none(cls, series: int, days: int) -> Self:
        size = series, days
        return cls(np.zeros(size, dtype=bool), np.zeros(size, dtype=bool), np.full(size, np.nan))

    def cut(self, days: int) -> "Marks":
        """Return the marks of the first days."""
        return Marks(self.censored[:, :days], self.kept[:, :days], self.pinned[:, :days])

    def take(self, rows: Rows) -> "Marks":
        return Marks(self.censored[rows], self.kept[rows], self.pinned[rows])


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`values`: what models learn from, (series, days), `nan` where it is unknown. `usual`: to judge outliers.

    `outlier` and `censored` are the days that were replaced. `ended`: series that nobody asks for any more.
    """

    values: Array
    usual: Array
    outlier: Flags
    censored: Flags
    ended: Flags

    def take(self, rows: Rows) -> "Cleaned":
        return Cleaned(self.values[rows], self.usual[rows], self.outlier[rows], self.censored[rows], self.ended[rows])


def clean(values: Array, marks: Marks, planned: Flags, season: int) -> Cleaned:
    """Return what models learn from. A day that is `planned` is no outlier. `values` stay as they are."""
    censored = marks.censored & ~marks.kept & np.isfinite(values)
    pinned = np.isfinite(marks.pinned)
    found = np.where(pinned, marks.pinned, values)
    found = np.where(censored, np.fmax(found, values), found)
    judged, unknown = ~(censored | marks.kept | planned | pinned), censored & ~pinned
    found, outlier, usual = _without_outliers(np.where(unknown, np.nan, found), judged, season)
    rows = np.flatnonzero(unknown.any(axis=1))
    if rows.size:
        imputed = _imputed(values[rows], found[rows], unknown[rows], season)
        found[rows], more, level = _without_outliers(imputed, judged[rows], season)
        outlier[rows] |= more
        usual[rows] = np.where(more, level, usual[rows])
    return Cleaned(found, usual, outlier, censored, _ended(values, marks))


def planned(drivers: Iterable[Array], series: int, days: int) -> Flags:
    """Return the days on which a driver is 3 robust standard deviations from its median: a promotion, a holiday."""
    found = np.zeros((series, days), dtype=bool)
    for driver in drivers:
        off = np.abs(driver[:, :days] - nanmedian(driver[:, :days])[:, None])
        found |= np.nan_to_num(off) > UNUSUAL * MAD * np.nan_to_num(nanmedian(off))[:, None] + 1e-9
    return found


def _without_outliers(values: Array, judged: Flags, season: int) -> tuple[Array, Flags, Array]:
    """Replace outliers by the usual demand until there is none. Return the values, the outliers and the usual demand.

    A series that has too many is returned as it is. So a second call changes nothing.
    """
    found, outlier, usual = values.copy(), np.zeros(values.shape, dtype=bool), np.full(values.shape, np.nan)
    rows = np.arange(len(values))
    for _ in range(ROUNDS):
        level, far = _outliers(found[rows], judged[rows], season)
        some = far.any(axis=1)
        rows, level, far = rows[some], level[some], far[some]
        if not rows.size:
            break
        usual[rows] = np.where(far, level, usual[rows])
        found[rows] = np.where(far, level, found[rows])
        outlier[rows] |= far
    many = outlier.sum(axis=1) > np.maximum(MOST * np.isfinite(values).sum(axis=1), 1)
    many[rows] = True
    found[many], outlier[many] = values[many], False
    return found, outlier, usual


def _outliers(values: Array, judged: Flags, season: int) -> tuple[Array, Flags]:
    """Return the usual demand of each day, and the days that are far from it, alone, and like no other day."""
    near = _weeks(values, season, NEAR)
    usual = np.where(np.isfinite(near).sum(axis=1) >= FEWEST, nanmedian(near), np.nan)
    off = np.sqrt(values) - np.sqrt(usual)
    wide = MAD * nanmedian(np.abs(off))
    with np.errstate(invalid="ignore"):
        off = np.nan_to_num(off / np.where(wide > POISSON, wide, POISSON)[:, None])
        sizes, low = _level(np.where(values > 0, values, np.nan), 1 - TAIL), _level(values, TAIL)
        far = (off > FAR) & (values > TIMES * sizes[:, None]) | (off < -FAR) & (TIMES * values < low[:, None])
    far &= judged & ((values > 0).sum(axis=1) >= SALES)[:, None]
    if far.any():
        for side in (1, -1):
            there = np.pad(side * off > CLEAR, ((0, 0), (AROUND, AROUND)))
            company = sum(
                there[:, AROUND + day : AROUND + day + off.shape[1]].astype(int) for day in range(-AROUND, AROUND + 1)
            )
            far &= ~((side * off > 0) & (company > COMPANY))
    return usual, far


def _imputed(bounds: Array, known: Array, censored: Flags, season: int) -> Array:
    """Return `known` with censored days: the mean of comparable days that asked for at least as much."""
    near = _weeks(known, season, COMPARED)
    with np.errstate(invalid="ignore"):
        guess = nanmean(np.where(near >= bounds[:, None], near, np.nan), axis=1)
    return np.where(censored, np.fmax(guess, bounds), known)


def _ended(values: Array, marks: Marks) -> Flags:
    """Return the series without demand for very long. A day that is unknown or out of stock is no quiet day."""
    count = values.shape[1]
    days, sold = np.arange(count), values > 0
    before = np.maximum.accumulate(np.where(sold, days, -1), axis=1)
    last = before[:, -1] if count else np.full(len(values), -1)
    earlier = np.pad(before[:, :-1], ((0, 0), (1, 0)), constant_values=-1)[:, :count]
    gap = np.where(sold & (earlier >= 0), days - earlier, 1).max(axis=1, initial=1)
    quiet = (np.isfinite(values) & ~marks.censored & (days > last[:, None])).sum(axis=1)
    undone = (marks.kept & (days == last[:, None] + 1)).any(axis=1)
    return np.asarray((sold.sum(axis=1) >= 2) & (quiet >= np.maximum(QUIET, GAPS * gap)) & ~undone)


def _weeks(values: Array, season: int, count: int) -> Array:
    """Return (series, weeks, days) of the same weekday in so many weeks before and after."""
    days = values.shape[1]
    found = np.full((len(values), 2 * count, days), np.nan)
    for week in range(1, count + 1):
        step = week * season
        if step < days:
            found[:, week - 1, step:] = values[:, :-step]
            found[:, count + week - 1, :-step] = values[:, step:]
    return found


def _level(values: Array, share: float) -> Array:
    """Return the quantile of each row, rounded towards the lower value, `nan` if nothing is known."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    if not ordered.shape[1]:
        return np.full(len(values), np.nan)
    return np.asarray(
        np.take_along_axis(ordered, (np.maximum(count - 1, 0) * share).astype(int)[:, None], axis=1)[:, 0]
    )
