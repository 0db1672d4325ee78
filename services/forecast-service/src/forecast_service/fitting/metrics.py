"""Measure forecasts. Arrays are (series, horizon); days with `nan` as actual value do not count.

MASE divides by the in-sample error of seasonal naive (Hyndman and Koehler, 2006), RMSSE by that of naive, as in M5.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TINY: Final = 1e-12


def naive_scales(past: Array, season: int) -> tuple[Array, Array]:
    """Return the mean absolute seasonal difference of each row of (series, days), and the RMS difference of neighbours.

    A row without differences, or whose differences are all zero, has `nan`: its scaled errors do not exist.
    """
    absolute = nanmean(np.abs(past[:, season:] - past[:, :-season]))
    squared = nanmean(np.diff(past) ** 2)
    return np.where(absolute > TINY, absolute, np.nan), np.sqrt(np.where(squared > TINY, squared, np.nan))


def mase(actual: Array, mean: Array, scale: Array) -> Array:
    """Return the mean absolute scaled error of each series."""
    return nanmean(np.abs(actual - mean)) / scale


def rmsse(actual: Array, mean: Array, scale: Array) -> Array:
    """Return the root mean squared scaled error of each series."""
    return np.sqrt(nanmean((actual - mean) ** 2)) / scale


def wape(actual: Array, mean: Array) -> float:
    """Return the sum of all absolute errors as a share of all demand, or `nan` without demand."""
    return _share(np.abs(actual - mean), actual)


def bias(actual: Array, mean: Array) -> float:
    """Return the sum of forecast minus actual as a share of all demand. Positive means too much."""
    return _share(mean - actual, actual)


def pinball(actual: Array, quantile: Array, tau: float) -> Array:
    """Return the pinball loss of each day (Koenker and Bassett, 1978). Its mean is least at the true quantile."""
    missing = actual - quantile
    return np.maximum(tau * missing, (tau - 1) * missing)


def coverage(actual: Array, quantile: Array) -> tuple[float, float]:
    """Return P(y < q) and P(y ≤ q) over all known days. A quantile is right if tau is between them."""
    known = np.isfinite(actual)
    if not known.any():
        return np.nan, np.nan
    return float(np.mean(actual[known] < quantile[known])), float(np.mean(actual[known] <= quantile[known]))


def off(tau: float, covered: tuple[float, float]) -> float:
    """Return by how much tau is outside of the coverage: negative if the quantile is too low, zero if it is right."""
    below, up_to = covered
    return min(0.0, up_to - tau) if up_to < tau else max(0.0, below - tau)


def smape(actual: Array, mean: Array) -> Array:
    """Return the symmetric mean absolute percentage error of each series, 0…200, as the M4 competition defines it."""
    size = np.abs(actual) + np.abs(mean)
    return nanmean(np.where(size > 0, 200 * np.abs(actual - mean) / np.where(size > 0, size, 1), actual * 0))


def owa(smape: float, mase: float, naive_smape: float, naive_mase: float) -> float:
    """Return the overall weighted average of M4: the mean of both measures relative to those of Naive 2."""
    return (smape / naive_smape + mase / naive_mase) / 2


def nanmean(values: Array, axis: int = -1) -> Array:
    """Return the mean of the values that are not `nan`, or `nan` if all are, without a warning."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def nanmedian(values: Array) -> Array:
    """Return the median over axis 1 of the values that are not `nan`, or `nan` if all are, without a warning."""
    ordered = np.sort(values, axis=1)  # nan is last
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[1] - 1), axis=1)
    return np.asarray(np.where(count > 0, (low + high) / 2, np.nan)[:, 0])


def _share(errors: Array, actual: Array) -> float:
    demand = float(np.nansum(actual))
    return float(np.nansum(errors)) / demand if demand > 0 else np.nan
