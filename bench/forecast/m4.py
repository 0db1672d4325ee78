"""Read and measure a pair of files in the format of the M4 competition: an id and a series in each row."""

import csv
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.forecast.measuring import Measured, cpu, peak
from bench.stack import BenchFailed
from forecast_service.fitting import metrics, portfolio
from forecast_service.fitting.classes import classify
from forecast_service.fitting.full import FULL
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel

ORIGIN: Final = 700_000
"""The files have no dates: any day will do."""
CONFIDENT: Final = 1.645
"""Naive 2 takes out a season whose autocorrelation is significant at 90 %, as in M4."""


def measure(train: Path, test: Path, season: int) -> Measured:
    """Forecast with the portfolio. Raise BenchFailed if the files do not belong together."""
    past, actual = read(train), read(test)
    if not past or past.keys() != actual.keys():
        raise BenchFailed(f"{train} and {test} have different series, or none.")
    horizon = len(next(iter(actual.values())))
    if any(len(row) != horizon for row in actual.values()):
        raise BenchFailed(f"The series of {test} have different lengths.")
    longest = max(len(row) for row in past.values())
    table = np.full((len(past), longest), np.nan)
    for line, values in zip(table, past.values(), strict=True):
        line[longest - len(values) :] = values
    truth = np.array([actual[name] for name in past])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, table, truth, season).result()


def read(file: Path) -> dict[str, list[float]]:
    """Return the series by id. Raise BenchFailed if a value is no number, or a series has none."""
    found = {}
    with file.open(newline="") as text:
        lines = csv.reader(text)
        next(lines, None)
        for name, *values in lines:
            try:
                found[name] = [float(value) for value in values if value.strip() not in ("", "NA")]
            except ValueError as error:
                raise BenchFailed(f"{file}, {name}: {error}.") from None
            if not found[name]:
                raise BenchFailed(f"{file}, {name}: no value.")
    return found


def naive2(past: Array, season: int, horizon: int) -> Array:
    """Return the last value after the season is taken out, with the season put back: the benchmark of M4."""
    factors = _seasonal_factors(past, season) if _is_seasonal(past, season) else np.ones(season)
    phases = np.arange(len(past) + horizon) % season
    return np.asarray(past[-1] / factors[phases[len(past) - 1]] * factors[phases[len(past) :]])


def _is_seasonal(past: Array, season: int) -> bool:
    if season == 1 or len(past) < 3 * season:
        return False
    centred = past - past.mean()
    total = float((centred**2).sum())
    if total == 0:
        return False
    lags = [float((centred[lag:] * centred[:-lag]).sum()) / total for lag in range(1, season + 1)]
    limit = CONFIDENT * ((1 + 2 * sum(each**2 for each in lags[:-1])) / len(past)) ** 0.5
    return bool(abs(lags[-1]) > limit)


def _seasonal_factors(past: Array, season: int) -> Array:
    """Return the factors of the classical multiplicative decomposition, whose mean is one."""
    half = season // 2
    window = np.ones(season + 1 - season % 2)
    if season % 2 == 0:
        window[[0, -1]] = 0.5
    trend = np.convolve(past, window / window.sum(), mode="valid")
    ratio = np.full(len(past), np.nan)
    ratio[half : half + len(trend)] = past[half : half + len(trend)] / trend
    factors = np.array([np.nanmean(ratio[phase::season]) for phase in range(season)])
    return np.asarray(factors / factors.mean())


def _measure(past: Array, actual: Array, season: int) -> Measured:
    horizon = actual.shape[1]
    closed: npt.NDArray[np.bool_] = np.zeros(past.shape[1] + horizon, dtype=bool)
    panel = Panel(past, closed, horizon, ORIGIN, season)
    before = cpu()
    classes = np.array([classify(row) for row in panel.values])
    result = portfolio.compete(panel, classes, FULL)
    spent = cpu() - before
    rows = [row[np.isfinite(row)] for row in past]
    naive = np.array([naive2(row, season, horizon) for row in rows])
    scale = np.array([metrics.naive_scales(row[None], season)[0][0] for row in rows])
    means = {"portfolio": result.means, "naive 2": naive}
    scores = {
        name: (float(np.nanmean(metrics.smape(actual, mean))), float(np.nanmean(metrics.mase(actual, mean, scale))))
        for name, mean in means.items()
    }
    measures = {
        name: {"sMAPE": smape, "MASE": mase, "OWA": metrics.owa(smape, mase, *scores["naive 2"]), "series": len(past)}
        for name, (smape, mase) in scores.items()
    }
    return Measured(measures, spent, peak())
