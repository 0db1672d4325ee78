"""Ridge regression on the shape of the week, a trend, the shape of the year, and the drivers of a series."""

from typing import Final

import numpy as np

from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel

HALF_LIFE: Final = 90
"""Days after which an observation counts half."""
STRENGTH: Final = 5.0
YEAR: Final = 365.25
YEARLY_TERMS: Final = 3
SEASONAL_TERMS: Final = 3


def fit(panel: Panel, index: int, row: Array) -> Array:
    """Return the means of one series."""
    days = np.arange(len(row) + panel.horizon, dtype=float) - len(row)
    terms = [np.ones(len(days)), np.minimum(days, 0) / YEAR]
    terms += _fourier(days + panel.origin, panel.season, min(SEASONAL_TERMS, panel.season // 2))
    if len(row) >= 2 * YEAR:
        terms += _fourier(days + panel.origin, YEAR, YEARLY_TERMS)
    for driver in panel.drivers.values():
        known = driver[index, -len(days) :]
        if np.isfinite(known).all() and known[: len(row)].std() > 0:
            terms.append((known - known[: len(row)].mean()) / known[: len(row)].std())
    matrix = np.stack(terms, axis=1)
    past, ahead = matrix[: len(row)], matrix[len(row) :]
    weights = 0.5 ** (-days[: len(row)] / HALF_LIFE)
    penalty = STRENGTH * np.eye(matrix.shape[1])
    penalty[0, 0] = 0.0
    weighted = past * weights[:, None]
    return np.asarray(ahead @ np.linalg.solve(weighted.T @ past + penalty, weighted.T @ row))


def _fourier(days: Array, period: float, order: int) -> list[Array]:
    angles = [2 * np.pi * number * days / period for number in range(1, order + 1)]
    return [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
