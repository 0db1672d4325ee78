"""LightGBM over all series at once: what one series is too short to show, many show together."""

from typing import Any, Final

import numpy as np
import pandas
from lightgbm import LGBMRegressor
from mlforecast import MLForecast
from mlforecast.lag_transforms import ExponentiallyWeightedMean, RollingMean, SeasonalRollingMean

from forecast_service.fitting.metrics import Array, nanmean
from forecast_service.fitting.panel import Panel

SETTINGS: Final[dict[str, Any]] = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.2,
    "n_estimators": 150,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 300,
    "max_bin": 63,
    "colsample_bytree": 0.5,
    "subsample": 0.5,
    "subsample_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
RECENT: Final = 13
"""Seasons whose mean is the scale of a series."""
FEWEST: Final = 1_000
"""Rows from which trees learn more than noise."""
MEMORY: Final = 28
"""Days over which the usual value of a driver is taken."""


def run(panel: Panel) -> Array:
    """Return the means of all series. Each is scaled to the mean of its last quarter."""
    known = np.isfinite(panel.filled)
    if known.sum() < FEWEST:
        return np.full((len(panel), panel.horizon), np.nan)
    level = nanmean(panel.filled[:, -RECENT * panel.season :])
    level = np.where(level > 0, level, nanmean(panel.filled))
    season, days = panel.season, np.arange(panel.days + panel.horizon)
    rows, columns = np.nonzero(np.append(known, np.ones((len(panel), panel.horizon), dtype=bool), axis=1))
    frame = pandas.DataFrame(
        {"unique_id": rows, "ds": columns, "phase": ((days + panel.origin - panel.days) % season)[columns]}
    )
    for name, driver in _drivers(panel).items():
        frame[name] = driver[rows, columns]
    past = frame[columns < panel.days].copy()
    past["y"] = panel.filled[past["unique_id"], past["ds"]] / level[past["unique_id"]]
    past["level"] = np.log(level)[past["unique_id"]]
    model = MLForecast(
        models={"trees": LGBMRegressor(**SETTINGS)},
        freq=1,
        lags=[*range(1, season + 1), 2 * season, 4 * season],
        lag_transforms={
            1: [
                RollingMean(season, min_samples=1),
                RollingMean(4 * season, min_samples=1),
                ExponentiallyWeightedMean(0.05),
                SeasonalRollingMean(season, 4, min_samples=1),
            ],
        },
        num_threads=1,
    )
    model.fit(past, static_features=["level"])
    found = model.predict(panel.horizon, X_df=frame[columns >= panel.days])["trees"].to_numpy(dtype=float)
    return np.asarray(found.reshape(len(panel), panel.horizon) * level[:, None])


def _drivers(panel: Panel) -> dict[str, Array]:
    """Return each driver, and by how much it differs from its usual value of the days before."""
    found = {}
    for name, driver in panel.drivers.items():
        sums = np.nan_to_num(driver).cumsum(axis=1)
        before = np.pad(sums, ((0, 0), (MEMORY, 0)))[:, : driver.shape[1]]
        usual = np.pad((sums - before)[:, :-1], ((0, 0), (1, 0))) / np.minimum(np.arange(driver.shape[1]) + 1, MEMORY)
        found[f"driver {name}"] = driver
        found[f"driver {name} changed"] = driver - usual
    return found
