"""Ridge regression on the shape of the week, a trend, the shape of the year, and the drivers of a series.

The coefficients of a series are shrunk towards those of all series together, in units of each series' level. So a
series that was never promoted borrows the effect of a promotion, and one with a long past keeps its own.
"""

from typing import Final

import numpy as np

from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel

HALF_LIFE: Final = 60
"""Days after which an observation counts half."""
STRENGTH: Final = 100.0
"""Observations that the common coefficients count as."""
YEAR: Final = 365.25
YEARLY_TERMS: Final = 3
SEASONAL_TERMS: Final = 3


def run(panel: Panel) -> Array:
    """Return the means of all series."""
    terms = _terms(panel)
    past, ahead = terms[:, : panel.days], terms[:, panel.days :]
    known = np.isfinite(panel.filled)
    days = np.arange(panel.days) - panel.days
    weights = np.where(known, 0.5 ** (-days / HALF_LIFE), 0.0)
    demand = np.where(known, panel.filled, 0.0)
    level = (weights * demand).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    scaled = demand / np.where(level > 0, level, 1.0)[:, None]

    weighted = past * weights[:, :, None]
    squares = np.einsum("idj,idk->ijk", weighted, past)
    products = np.einsum("idj,id->ij", weighted, scaled)
    small = 1e-6 * np.eye(terms.shape[2])
    common = np.linalg.solve(squares.sum(axis=0) + small + np.eye(terms.shape[2]), products.sum(axis=0))
    penalty = STRENGTH * np.eye(terms.shape[2])
    penalty[0, 0] = 1e-6  # the level of a series is its own
    residual = products - squares @ common
    own = common + np.linalg.solve(squares + penalty, residual[:, :, None])[:, :, 0]
    return np.asarray(np.einsum("ihj,ij->ih", ahead, own) * level[:, None])


def _terms(panel: Panel) -> Array:
    """Return (series, days + horizon, terms)."""
    days = np.arange(panel.days + panel.horizon, dtype=float) - panel.days
    shared = [np.ones(len(days)), np.minimum(days, 0) / YEAR]
    shared += _fourier(days + panel.origin, panel.season, min(SEASONAL_TERMS, panel.season // 2))
    if panel.days >= 2 * YEAR:
        shared += _fourier(days + panel.origin, YEAR, YEARLY_TERMS)
    terms = [np.broadcast_to(each, (len(panel), len(days))) for each in shared]
    known = np.arange(panel.days) >= panel.first[:, None]
    for driver in panel.drivers.values():
        value = np.nan_to_num(driver)
        usual = (value[:, : panel.days] * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        terms.append(value - usual[:, None])
    return np.stack(terms, axis=2)


def _fourier(days: Array, period: float, order: int) -> list[Array]:
    angles = [2 * np.pi * number * days / period for number in range(1, order + 1)]
    return [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
