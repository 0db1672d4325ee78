"""Regression on the shape of the week, a trend, the shape of the year, and the drivers of a series.

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
COMMON_STRENGTH: Final = 1.0
YEAR: Final = 365.25
YEARLY_TERMS: Final = 3
SEASONAL_TERMS: Final = 3
STEPS: Final = 6
"""Newton's steps of the multiplicative regression. It converges in four or five."""
LIMIT: Final = 3.0
"""No day is expected above exp(3) = 20 times the level, or below a twentieth."""


def additive(panel: Panel) -> Array:
    """Return the means of all series by least squares."""
    terms, scaled, weights, level = _prepare(panel)
    past, ahead = terms[:, : panel.days], terms[:, panel.days :]
    squares, products = _normal(past, weights, scaled)
    common = _solve(squares.sum(axis=0), products.sum(axis=0), COMMON_STRENGTH)
    own = common + _solve(squares, products - squares @ common, STRENGTH)
    return np.asarray(np.einsum("ihj,ij->ih", ahead, own) * level[:, None])


def multiplicative(panel: Panel) -> Array:
    """Return the means of all series by a log-linear model with the quasi-likelihood of Poisson."""
    terms, scaled, weights, level = _prepare(panel)
    past, ahead = terms[:, : panel.days], terms[:, panel.days :]
    common = np.zeros(terms.shape[2])
    for _ in range(STEPS):
        mean = _exp(past @ common)
        squares, products = _normal(past, weights * mean, (scaled - mean) / mean)
        penalty = np.diag(np.append(1e-6, np.full(len(common) - 1, COMMON_STRENGTH)))
        common = common + np.linalg.solve(squares.sum(axis=0) + penalty, products.sum(axis=0) - penalty @ common)
    penalty = STRENGTH * np.eye(len(common))
    penalty[0, 0] = 1e-6
    own = np.zeros((len(panel), len(common)))
    for _ in range(STEPS):
        mean = _exp(np.einsum("idj,ij->id", past, common + own))
        squares, products = _normal(past, weights * mean, (scaled - mean) / mean)
        own = own + np.linalg.solve(squares + penalty, (products - own @ penalty)[:, :, None])[:, :, 0]
    return np.asarray(_exp(np.einsum("ihj,ij->ih", ahead, common + own)) * level[:, None])


def _exp(values: Array) -> Array:
    return np.asarray(np.exp(np.clip(values, -LIMIT, LIMIT)))


def _normal(past: Array, weights: Array, target: Array) -> tuple[Array, Array]:
    """Return the sums of squares and products of the normal equations of each series."""
    weighted = past * weights[:, :, None]
    return weighted.transpose(0, 2, 1) @ past, np.einsum("idj,id->ij", weighted, target)


def _solve(squares: Array, products: Array, strength: float) -> Array:
    penalty = strength * np.eye(squares.shape[-1])
    penalty[0, 0] = 1e-6  # the level of a series is its own
    return np.asarray(np.linalg.solve(squares + penalty, products[..., None])[..., 0])


def _prepare(panel: Panel) -> tuple[Array, Array, Array, Array]:
    """Return the terms, the demand in units of the level, the weights of days, and the level."""
    known = np.isfinite(panel.filled)
    weights = np.where(known, 0.5 ** ((panel.days - np.arange(panel.days)) / HALF_LIFE), 0.0)
    demand = np.where(known, panel.filled, 0.0)
    level = (weights * demand).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    return _terms(panel), demand / np.where(level > 0, level, 1.0)[:, None], weights, level


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
