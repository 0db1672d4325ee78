"""All models, and which classes of demand each is admitted to."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from statsforecast import models as library

from forecast_service.fitting import prophet, ridge, trees
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import CHEAP, SPARSE, Model, each
from forecast_service.fitting.panel import Panel


def _library(make: Callable[[int], Any]) -> Callable[[Panel], Array]:
    """Return a runner of a model of statsforecast; `make` takes the season."""

    def fit(panel: Panel, index: int, row: Array) -> Any:
        return make(panel.season).forecast(row, panel.horizon)["mean"]

    return partial(each, fit=fit)


def _theta(model: Callable[..., Any], panel: Panel, index: int, row: Array) -> Any:
    kind = "multiplicative" if row.min() > 0 else "additive"
    return model(season_length=panel.season, decomposition_type=kind).forecast(row, panel.horizon)["mean"]


def _mstl(panel: Panel, index: int, row: Array) -> Any:
    trend = library.AutoETS(model="AAN", damped=True)  # choosing among trends takes six times as long
    return library.MSTL(season_length=panel.season, trend_forecaster=trend).forecast(row, panel.horizon)["mean"]


FULL: Final[Sequence[Model]] = (
    *CHEAP,
    Model("ses", _library(lambda season: library.SimpleExponentialSmoothingOptimized())),
    Model("theta", partial(each, fit=partial(_theta, library.Theta)), costly=True),
    Model("dynamic_theta", partial(each, fit=partial(_theta, library.DynamicOptimizedTheta)), costly=True),
    Model("ces", _library(lambda season: library.AutoCES(season)), costly=True, least=3),
    Model("ets", _library(lambda season: library.AutoETS(season)), costly=True, least=3),
    Model("mstl", partial(each, fit=_mstl), costly=True, least=3),
    Model("croston_sba", _library(lambda season: library.CrostonSBA()), SPARSE),
    Model("tsb", _library(lambda season: library.TSB(0.1, 0.1)), SPARSE),
    Model("adida", _library(lambda season: library.ADIDA()), SPARSE),
    Model("imapa", _library(lambda season: library.IMAPA()), SPARSE),
    Model("ridge", ridge.additive, least=8, shared=True, driven=True),
    Model("log_linear", ridge.multiplicative, least=8, shared=True, driven=True),
    Model("prophet", partial(each, fit=prophet.fit), least=8, costly=True, daily=True, driven=True),
    Model("lightgbm", trees.run, least=8, shared=True, driven=True),
)
