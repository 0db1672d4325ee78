"""Quantiles from the errors of backtests, scaled and pooled.

An error is divided by the spread that the series had before the origin. Errors of like series then have one
distribution, whose quantiles are multiplied by the spread before the new origin. Errors of sums give those of sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting.metrics import Array, nanmean
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import QUANTILES

ENOUGH: Final = 200
"""Errors from which quantiles are taken: of the series, else of its size and class, its class, all."""
SIZES: Final = 3
RECENT: Final = 13
"""The spread of a series is that of so many last seasons."""
NEAR: Final = 3
"""The errors of a sum are pooled with those of sums of so many days more or less."""
NORMAL: Final = np.array([NormalDist().inv_cdf((number + 0.5) / ENOUGH) for number in range(ENOUGH)])
"""Errors of a normal distribution. They fill up a pool that has too few."""

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fans:
    """Quantiles of each day and of the sum of the first days, (series, quantiles, horizon)."""

    daily: Array
    cumulative: Array


@dataclass(frozen=True, slots=True)
class Past:
    """One origin of a backtest: actual values and means, (series, horizon), and the spread before it."""

    actual: Array
    mean: Array
    spread: Array


def spread(panel: Panel, mean: Array) -> Array:
    """Return (series, horizon) of the standard deviation to expect: that of the last quarter, by size of the mean.

    A variance grows with its mean, so a day with twice the mean has twice the variance of the series. No series has
    less than the variance of a Poisson process of its level: one that was zero all quarter may sell again.
    """
    season = panel.season
    past = panel.filled[:, -RECENT * max(season, 4) :]
    past = past[:, past.shape[1] % season :]
    table = past.reshape(len(past), -1, season)
    residual = (table - nanmean(table, axis=1)[:, None]).reshape(len(past), -1)
    known = np.isfinite(residual).sum(axis=1)
    freedom = np.maximum(known - season, 1)
    variance = np.where(known > season, np.nansum(residual**2, axis=1) / freedom, np.nan)
    level = np.maximum(nanmean(past), 0.0)
    open_days = ~panel.ahead
    ahead = mean[:, open_days].mean(axis=1) if open_days.any() else np.zeros(len(mean))
    level = np.where(np.isfinite(level), level, ahead)
    variance = np.where(np.isfinite(variance), variance, level)
    unit = np.where(level >= 1, 1.0, np.maximum(level, 0.0))
    variance = np.maximum(variance, 0.05 * level * unit)
    share = np.divide(mean, level[:, None], out=np.ones_like(mean), where=level[:, None] > 0)
    found: Array = np.sqrt(variance[:, None] * np.clip(share, 0.1, 10.0))
    found[:, panel.ahead] = 0.0
    return found


@dataclass(frozen=True, slots=True)
class Errors:
    """Quantiles of errors in units of their spread.

    `daily`: of the days of each week of the horizon, (series, quantiles, weeks). `sums`: of the sums of the first days,
    (series, quantiles, horizon).
    """

    daily: Array
    sums: Array


def errors(backtest: Sequence[Past], classes: npt.NDArray[np.str_], level: Array, season: int, horizon: int) -> Errors:
    """Return the quantiles of the errors of a backtest. `level` is the mean of each series."""
    groups, weeks = sizes(classes, level), -(-horizon // season)
    by_day = _Pools([_scaled(each.actual - each.mean, each.spread) for each in backtest], classes, groups)
    by_sum = _Pools([_scaled(*_sums(each)) for each in backtest], classes, groups)
    daily = [by_day.quantiles(week * season, (week + 1) * season) for week in range(weeks)]
    sums = [by_sum.quantiles(day - min(NEAR, day // 2), day + NEAR + 1) for day in range(horizon)]
    return Errors(np.stack(daily, axis=2), np.stack(sums, axis=2))


def fans(mean: Array, wide: Array, errors: Errors, season: int) -> Fans:
    """Return the quantiles around `mean` whose errors have the spread `wide`, both (series, horizon)."""
    horizon = mean.shape[1]
    daily = mean[:, None] + wide[:, None] * errors.daily[:, :, np.arange(horizon) // season]
    total, total_wide = mean.cumsum(axis=1), np.sqrt((wide**2).cumsum(axis=1))
    cumulative = total[:, None] + total_wide[:, None] * errors.sums[:, :, :horizon]
    for day in range(horizon):
        if not wide[:, day].any():  # closed, or without demand: no sum changes
            cumulative[:, :, day] = cumulative[:, :, day - 1] if day else 0.0
    cumulative[:, :, 0] = daily[:, :, 0]  # the sum of one day is that day
    return Fans(_ordered(daily), np.maximum.accumulate(_ordered(cumulative), axis=2))


def sizes(classes: npt.NDArray[np.str_], level: Array) -> Groups:
    """Return a number for each class and third of its levels."""
    found = np.zeros(len(level), dtype=np.int64)
    for number, each in enumerate(np.unique(classes)):
        rows = np.flatnonzero(classes == each)
        rank = level[rows].argsort(kind="stable").argsort(kind="stable")
        found[rows] = number * SIZES + rank * SIZES // len(rows)
    return found


class _Pools:
    """Quantiles of scaled errors, by series, for a range of days of the horizon."""

    def __init__(self, errors: Sequence[Array], classes: npt.NDArray[np.str_], groups: Groups) -> None:
        self._errors = np.stack(errors, axis=1) if errors else np.zeros((len(classes), 0, 1))
        self._classes, self._groups = classes, groups
        self._known: dict[tuple[int, int], Array] = {}

    def quantiles(self, first: int, end: int) -> Array:
        """Return (series, quantiles). Beyond the days that were backtested, those of the last such days."""
        days = self._errors.shape[2]
        while first > 0 and not np.isfinite(self._errors[:, :, first:end]).any():
            first, end = max(0, 2 * first - end), max(1, first)
        key = first, min(end, days)
        if key not in self._known:
            self._known[key] = self._of(*key)
        return self._known[key]

    def _of(self, first: int, end: int) -> Array:
        errors = self._errors[:, :, first:end].reshape(len(self._classes), -1)
        pool = errors[np.isfinite(errors)]
        if pool.size < ENOUGH:
            pool = np.append(pool, NORMAL[np.linspace(0, ENOUGH - 1, ENOUGH - pool.size).astype(int)])
        found = np.tile(np.quantile(pool, QUANTILES), (len(errors), 1))
        for keys in (self._classes, self._groups):
            for key in np.unique(keys):
                rows = keys == key
                part = errors[rows]
                part = part[np.isfinite(part)]
                if part.size >= ENOUGH:
                    found[rows] = np.quantile(part, QUANTILES)
        for row in np.flatnonzero(np.isfinite(errors).sum(axis=1) >= ENOUGH):
            found[row] = np.quantile(errors[row][np.isfinite(errors[row])], QUANTILES)
        return found


def _sums(past: Past) -> tuple[Array, Array]:
    """Return the errors of the sums and their spreads. A day that is not known ends its series' sums, a closed not."""
    unknown = ~np.isfinite(past.actual) & (past.spread > 0)
    error = np.where(np.isfinite(past.actual), past.actual - past.mean, 0.0).cumsum(axis=1)
    error[np.logical_or.accumulate(unknown, axis=1) | ~np.isfinite(past.mean)] = np.nan
    return error, np.sqrt((past.spread**2).cumsum(axis=1))


def _scaled(errors: Array, wide: Array) -> Array:
    return np.divide(errors, wide, out=np.full_like(errors, np.nan), where=wide > 0)


def _ordered(quantiles: Array) -> Array:
    return np.sort(np.maximum(quantiles, 0.0), axis=1)
