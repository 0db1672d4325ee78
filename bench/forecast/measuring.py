"""Forecast a group of series in a child, and measure the forecasts against what came."""

import resource
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting import choosing, metrics, models, portfolio
from forecast_service.fitting.classes import classify
from forecast_service.fitting.full import FULL
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import AVERAGE, NAIVE, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import QUANTILES, History, Task
from forecast_service.fitting.work import forecast

SUM_DAYS: Final = 14
CHUNK: Final = 50
"""Series of a chunk of a run, as the service has it."""
OFF: Final = 0.02
CELL: Final = 300
"""Days that a class has in a week of the horizon, at least, for its coverage to be judged."""


@dataclass(frozen=True, slots=True)
class Group:
    """Histories and drivers as for a panel, with what came after the origin. `weeks`: days are summed to judge."""

    name: str
    past: Array
    actual: Array
    closed: npt.NDArray[np.bool_]
    origin: int
    drivers: Mapping[str, Array] = field(default_factory=dict)
    season: int = 7
    whole: bool = True
    weeks: bool = False

    def panel(self) -> Panel:
        horizon = self.actual.shape[1]
        return Panel(self.past, self.closed, horizon, self.origin, self.season, drivers=dict(self.drivers))


Measures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """`measures` of each row. `cpu` are seconds of the whole work with its children, `memory` the peak in MB."""

    measures: Mapping[str, Measures]
    cpu: float
    memory: float


def in_a_child(group: Group, only: str | None = None, origins: int = portfolio.ORIGINS) -> Measured:
    """Forecast in a new process: with the portfolio, or with one model alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, group, only, origins).result()


def refitted(group: Group) -> Measured:
    """Choose models in chunks as a run does, and measure what it takes to fit them again, in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_refitted, group).result()


def _refitted(group: Group) -> Measured:
    origin, spent = date.fromordinal(group.origin), 0.0
    start = origin - timedelta(days=group.past.shape[1])
    all_ = [History(str(number), start, row) for number, row in enumerate(group.past.tolist())]
    for first in range(0, len(all_), CHUNK):
        task = Task(origin, group.actual.shape[1], all_[first : first + CHUNK])
        choices = {each.series: each.choice for each in forecast(task) if each.choice is not None}
        before = cpu()
        forecast(replace(task, level="refit", choices=choices))
        spent += cpu() - before
    return Measured({}, spent, peak())


def _measure(group: Group, only: str | None, origins: int) -> Measured:
    panel = group.panel()
    competing: list[Model] = list(FULL)
    if only is not None:  # to every class, and to all series at once
        competing = [replace(model, classes=models.ALL, costly=False) for model in FULL if model.name == only]
    before = cpu()
    classes = np.array([classify(row) for row in panel.values])
    result = portfolio.compete(panel, classes, competing, origins)
    fans = portfolio.fan(panel, result.means, portfolio.errors(panel, classes, result))
    daily, sums = (np.rint(each) if group.whole else each for each in (fans.daily, fans.cumulative))
    spent = cpu() - before
    name = only or "portfolio"
    found = {name: _all(group, panel, classes, result.means, daily, sums)}
    if only is None:
        for kind, mean in result.alone.items():
            if kind in choosing.KINDS:
                found[f"always {kind}"] = measure_means(group, panel, mean)
    return Measured(found, spent, peak())


def peak() -> float:
    """Return the most memory that this process has used, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # macOS: bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # getrusage would count the parent's memory, which a child has until its exec.
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def cpu() -> float:
    """Return the seconds of processor time of this process and of its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure_means(group: Group, panel: Panel, mean: Array) -> Measures:
    """Return errors of means, (series, horizon), by day or by week."""
    past, actual = panel.values, group.actual
    if group.weeks:
        past = panel.filled[:, panel.days % 7 :].reshape(len(panel), -1, 7).sum(axis=2)
        actual, mean = (np.nan_to_num(each).reshape(len(panel), -1, 7).sum(axis=2) for each in (actual, mean))
    absolute, squared = metrics.naive_scales(past, 1 if group.weeks else group.season)
    return {
        "MASE": float(np.nanmean(metrics.mase(actual, mean, absolute))),
        "RMSSE": float(np.nanmean(metrics.rmsse(actual, mean, squared))),
        "WAPE": metrics.wape(actual, mean),
        "bias": metrics.bias(actual, mean),
    }


def _all(group: Group, panel: Panel, classes: npt.NDArray[np.str_], mean: Array, daily: Array, sums: Array) -> Measures:
    actual = group.actual
    _, scale = metrics.naive_scales(panel.values, group.season)
    losses = [
        np.nanmean(metrics.nanmean(metrics.pinball(actual, daily[:, each], tau)) / scale)
        for each, tau in enumerate(QUANTILES)
    ]
    found = measure_means(group, panel, mean) | {"pinball": float(np.mean(losses))}
    for each, tau in enumerate(QUANTILES):
        if tau != 0.5:
            below, up_to = metrics.coverage(actual, daily[:, each])
            found[f"p{tau:.0%}"[:-1]] = min(max(tau, below), up_to)
    found |= _cells(actual, daily, classes, group.season)
    if actual.shape[1] >= SUM_DAYS:
        total = np.nansum(actual[:, :SUM_DAYS], axis=1)
        below, up_to = metrics.coverage(total, sums[:, QUANTILES.index(0.9), SUM_DAYS - 1])
        found["14-day p90"] = min(max(0.9, below), up_to)
        found["14-day p90 ÷ demand"] = float(sums[:, QUANTILES.index(0.9), SUM_DAYS - 1].sum() / total.sum())
    return found


def _cells(actual: Array, daily: Array, classes: npt.NDArray[np.str_], season: int) -> Measures:
    """Return the worst deviation of coverage in a class and week, and its standard error.

    `cells off` is the share of those that are off by over 2 %, and `cells clear` of those that are off by more than two
    standard errors too.
    """
    found = []
    for name in np.unique(classes):
        for first in range(0, actual.shape[1], season):
            part = actual[classes == name, first : first + season]
            if np.isfinite(part).sum() < CELL:
                continue
            for each, tau in enumerate(QUANTILES):
                quantile = daily[classes == name, each, first : first + season]
                away = metrics.off(tau, metrics.coverage(part, quantile))
                inside = part <= quantile if away < 0 else part < quantile
                found.append((abs(away), standard_error(np.where(np.isfinite(part), inside, np.nan))))
    if not found:
        return dict.fromkeys(("worst cell", "worst cell error", "cells off", "cells clear"), np.nan)
    away, error = np.array(found).T
    worst, off = int(away.argmax()), away > OFF
    return {
        "worst cell": float(away[worst]),
        "worst cell error": float(error[worst]),
        "cells off": float(off.mean()),
        "cells clear": float((off & (away > 2 * error)).mean()),
    }


def standard_error(values: Array) -> float:
    """Return the standard error of the mean of (series, days), where series and days are clusters.

    The days of a series err together, and so do the series of a day. `nan` is not known. The formula is that of
    Cameron, Gelbach and Miller (2011), with their correction for few clusters.
    """
    known = np.isfinite(values)
    errors = np.where(known, values - values[known].mean(), 0.0)
    variance = -(errors**2).sum()
    for axis in (0, 1):
        clusters = int(known.any(axis=axis).sum())
        variance += (errors.sum(axis=axis) ** 2).sum() * clusters / max(1, clusters - 1)
    return float(np.sqrt(max(0.0, variance)) / known.sum())


SINGLES: Final = [model.name for model in FULL if model not in (NAIVE, AVERAGE)]
