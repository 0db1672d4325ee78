"""Prophet with the drivers of a series as regressors."""

import logging
from datetime import date
from typing import Final

import numpy as np
import pandas
from prophet import Prophet

from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel

YEARS: Final = 2
"""A yearly term takes so many years of history: with less it learns the noise of one year."""


def fit(panel: Panel, index: int, row: Array) -> Array:
    """Return the means of one series."""

    count = len(row) + panel.horizon
    end = date.fromordinal(panel.origin + panel.horizon - 1)
    frame = pandas.DataFrame({"ds": pandas.date_range(end=end, periods=count)})
    frame["y"] = np.append(row, np.full(panel.horizon, np.nan))
    model = Prophet(
        weekly_seasonality=True,
        daily_seasonality=False,
        yearly_seasonality=len(row) >= YEARS * 365,
        uncertainty_samples=0,
    )
    for name in ("cmdstanpy", "prophet"):  # the model has loaded both; each fit would log several lines
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, driver in panel.drivers.items():
        known = driver[index, -count:]
        if np.isfinite(known).all() and known[: len(row)].std() > 0:
            frame[name] = known
            model.add_regressor(name)
    model.fit(frame[: len(row)], seed=1)
    return np.asarray(model.predict(frame[len(row) :])["yhat"], dtype=float)
