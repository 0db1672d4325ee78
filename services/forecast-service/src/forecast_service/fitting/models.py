"""Models behind one small interface, and those that take no fit. `full` has all, with libraries that import slowly."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import DemandClass

log = logging.getLogger(__name__)

SMOOTH: Final[frozenset[DemandClass]] = frozenset(("smooth", "erratic"))
SPARSE: Final[frozenset[DemandClass]] = frozenset(("intermittent", "lumpy"))
ALL: Final = SMOOTH | SPARSE

SEASONS: Final = 8
EXPLODED: Final = 10
"""A forecast above this multiple of the greatest demand so far is a failed fit."""


@dataclass(frozen=True, slots=True)
class Model:
    """`run` returns the means of all series of a panel, (series, horizon), with a row of `nan` for each failed fit.

    `least`: seasons of history that a series needs. `cheap` models take no fit. `costly` models must first be among
    the best of a sample of their class. `daily` models know only weeks of days. `driven` models learn from drivers,
    and so they need their values on all days of the horizon. `shared` models learn from all series of a panel together.
    """

    name: str
    run: Callable[[Panel], Array]
    classes: frozenset[DemandClass] = ALL
    least: float = 2
    cheap: bool = False
    costly: bool = False
    daily: bool = False
    driven: bool = False
    shared: bool = False


def run(model: Model, panel: Panel) -> Array:
    """Forecast all series of a panel. A result that no demand can have is `nan`; closed days are zero.

    A model that raises has no forecast of any series, and the others go on.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            means = model.run(panel)
        except Exception:
            log.warning("model %s failed on %s series", model.name, len(panel), exc_info=True)
            means = np.full((len(panel), panel.horizon), np.nan)
    tops = np.where(np.isfinite(panel.filled), panel.filled, 0).max(axis=1, initial=0.0)
    failed = ~np.isfinite(means).all(axis=1) | (means.max(axis=1, initial=0.0) > EXPLODED * tops)
    means = np.where(failed[:, None], np.nan, np.maximum(means, 0.0))
    means[:, panel.ahead] = 0.0
    means[panel.cleaned.ended] = 0.0
    return np.where(failed[:, None], np.nan, means)


def forecast(model: Model, panel: Panel, admitted: npt.NDArray[np.bool_]) -> Array:
    """Forecast the admitted series that are long enough. The others have a row of `nan`."""
    if model.daily and panel.season != 7:
        admitted = np.zeros_like(admitted)
    if model.driven:
        admitted = admitted & panel.foreseen
    rows = np.flatnonzero(admitted & (panel.lengths >= max(1, model.least * panel.season)))
    means = np.full((len(panel), panel.horizon), np.nan)
    if rows.size:
        means[rows] = run(model, panel.take(rows))
    return means


def each(panel: Panel, *, fit: Callable[[Panel, int, Array], Any]) -> Array:
    """Fit series by series. An exception costs one series."""
    means = np.full((len(panel), panel.horizon), np.nan)
    for index in range(len(panel)):
        row = panel.row(index)
        if not row.size:
            continue
        try:
            means[index] = fit(panel, index, row)
        except Exception:  # a fit may raise anything: the others go on
            continue
    return means


def seasonal_naive(panel: Panel) -> Array:
    """Repeat the last season: the benchmark that every other model must beat."""
    means = np.full((len(panel), panel.horizon), np.nan)
    for index in range(len(panel)):
        row = panel.row(index)
        if row.size:
            season = row[-panel.season :]
            means[index] = np.resize(season, panel.horizon) if season.size == panel.season else season.mean()
    return means


def average(panel: Panel) -> Array:
    """Return the mean of the last four seasons or 28 days, which any series with a past has. It is the last resort."""
    past = panel.filled[:, -4 * max(panel.season, 7) :]
    known = np.isfinite(past)
    level = np.where(known, past, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.repeat(level[:, None], panel.horizon, axis=1)


def seasonal_average(panel: Panel) -> Array:
    """Return the mean of each day of the season over the last eight seasons, without those that are not known."""
    past = panel.filled[:, -SEASONS * panel.season :]
    past = past.reshape(len(panel), -1, panel.season)
    known = np.isfinite(past)
    season = np.where(known, past, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return np.tile(season, panel.horizon // panel.season + 1)[:, : panel.horizon]


NAIVE: Final = Model("seasonal_naive", seasonal_naive, cheap=True, least=1)
AVERAGE: Final = Model("average", average, cheap=True, least=0)

CHEAP: Final[Sequence[Model]] = (
    NAIVE,
    AVERAGE,
    Model("seasonal_average", seasonal_average, cheap=True, least=SEASONS),
)
