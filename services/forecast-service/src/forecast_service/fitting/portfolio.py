"""Let all models and combinations compete on the past, and forecast each series with what wins there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting import choosing, models, uncertainty
from forecast_service.fitting.backtest import Origin, origins
from forecast_service.fitting.choosing import CLEAR, KINDS, OVERLAP, Classes, Scores
from forecast_service.fitting.metrics import Array, naive_scales, nanmean
from forecast_service.fitting.models import AVERAGE, NAIVE, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.uncertainty import Fans, Past

ORIGINS: Final = 6
STEP: Final = 14
"""Days from one origin of the backtest to the next: at most this, and half the horizon."""
JUDGED: Final = 28
"""Days of the horizon that count in the choice."""
LEAST: Final = 3
"""Seasons of history that some series must have before an origin."""
TRIED: Final = 3
"""Origins on which costly models are tried first, on a sample."""
SAMPLE: Final = 12
"""Series of each class on which costly models are tried first: at most these, at most a fifth, at least three."""
BEST: Final = 4
"""A costly model is fitted to all series of a class if it is one of so many best on the sample."""


@dataclass(frozen=True, slots=True)
class Result:
    """Means of a panel, (series, horizon), by whom, and how each model scored: its shrunk error as a multiple of naive.

    `past` has what the same choice would have forecast at each origin, made without the errors of origins near it.
    `alone` has the means of each model, and of each combination.
    """

    means: Array
    names: Sequence[str]
    scores: Sequence[Mapping[str, float]]
    past: Sequence[Past]
    alone: Mapping[str, Array]


def compete(panel: Panel, classes: Classes, competing: Sequence[Model], count: int = ORIGINS) -> Result:
    """Backtest the models, forecast with those that are worth it, and choose between them and their combinations."""
    step = max(1, min(STEP, panel.horizon // 2))
    backtest = origins(panel, count, step, max(LEAST * panel.season, 6))
    admitted = np.stack([np.isin(classes, list(each.classes)) | each.cheap for each in competing], axis=1)
    costly = np.array([each.costly for each in competing])
    tried = admitted & (~costly | _sample(panel, classes)[:, None])
    stacks = _backtest(backtest[:TRIED], competing, tried, panel)
    admitted &= ~costly | _worth(panel, classes, backtest[:TRIED], stacks)
    stacks = _backtest(backtest, competing, admitted, panel, done=stacks)
    last = [models.forecast(model, panel, admitted[:, column]) for column, model in enumerate(competing)]
    return _choose(panel, classes, [each.name for each in competing], backtest, stacks, np.stack(last, axis=1))


def fan(panel: Panel, classes: Classes, result: Result) -> Fans:
    """Return the quantiles of each day and of the sums of days."""
    wide = uncertainty.spread(panel, result.means)
    level = result.means.mean(axis=1)
    return uncertainty.fans(result.means, wide, result.past, classes, level, panel.season)


def _backtest(
    backtest: Sequence[Origin],
    competing: Sequence[Model],
    rows: npt.NDArray[np.bool_],
    panel: Panel,
    done: Array | None = None,
) -> Array:
    """Return (series, origins, models, horizon), `nan` for each row that a model is not to fit.

    `done` has the first origins, where models that are not costly have all their series.
    """
    found = np.full((len(panel), len(backtest), len(competing), panel.horizon), np.nan)
    for number, origin in enumerate(backtest):
        for column, model in enumerate(competing):
            if done is not None and number < done.shape[1] and not model.costly:
                found[:, number, column] = done[:, number, column]
            else:
                found[:, number, column] = models.forecast(model, origin.past, rows[:, column])
    return found


def _sample(panel: Panel, classes: Classes) -> npt.NDArray[np.bool_]:
    """Choose the series of each class on which costly models are tried: evenly over their order."""
    found = np.zeros(len(panel), dtype=bool)
    for each in np.unique(classes):
        rows = np.flatnonzero(classes == each)
        found[rows[np.linspace(0, len(rows) - 1, min(max(3, len(rows) // 5), SAMPLE, len(rows))).astype(int)]] = True
    return found


def _worth(panel: Panel, classes: Classes, backtest: Sequence[Origin], stacks: Array) -> npt.NDArray[np.bool_]:
    """Return (series, models): whether a model is among the best of the class on the sample."""
    sampled = _sample(panel, classes)
    errors = _errors(panel, backtest, stacks)
    pooled = np.full((len(panel), stacks.shape[2]), np.nan)
    pooled[sampled] = choosing.score(errors[sampled], classes[sampled]).pooled
    for each in np.unique(classes):
        rows = classes == each
        pooled[rows] = pooled[rows & sampled][0]
    ranks = np.where(np.isfinite(pooled), pooled, np.inf).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.asarray(ranks < BEST)


def _choose(
    panel: Panel, classes: Classes, names: Sequence[str], backtest: Sequence[Origin], stacks: Array, last: Array
) -> Result:
    truth = _truth(panel, backtest)
    errors = _errors(panel, backtest, stacks)
    scores = choosing.score(errors, classes, choosing.guard(truth, stacks, classes))
    combined = np.full((len(panel), len(backtest), len(KINDS), panel.horizon), np.nan)
    for number in range(len(backtest)):
        apart = np.abs(np.arange(len(backtest)) - number) >= min(OVERLAP, len(backtest) - 1)
        combined[:, number] = choosing.combine(stacks[:, number], choosing.score(errors[:, apart], classes))
    ranks = choosing.score(_errors(panel, backtest, combined), classes, choosing.guard(truth, combined, classes)).pooled
    ranks = np.where(np.isfinite(ranks), ranks, 0.0) - CLEAR * (np.array(KINDS) == "weighted")
    kinds = ranks.argmin(axis=1)

    rows = np.arange(len(panel))
    combinations = choosing.combine(last, scores)
    means = combinations[rows, kinds]
    lost = np.isnan(means[:, 0])
    means[lost] = models.run(AVERAGE, panel)[lost]
    past = []
    for number, origin in enumerate(backtest):
        mean = combined[rows, number, kinds]
        past.append(Past(origin.actual, mean, uncertainty.spread(origin.past, mean)))
    described = [
        AVERAGE.name if lost[row] else choosing.describe(KINDS[int(kinds[row])], names, scores, last[row], row)
        for row in range(len(panel))
    ]
    alone = dict(zip([*names, *KINDS], np.concatenate([last, combinations], axis=1).swapaxes(0, 1), strict=True))
    return Result(means, described, _relative(names, scores), past, alone)


def _truth(panel: Panel, backtest: Sequence[Origin]) -> Array:
    """Return (series, origins, horizon) of what came after each origin, as far as it counts in the choice."""
    found = np.full((len(panel), len(backtest), panel.horizon), np.nan)
    for number, origin in enumerate(backtest):
        found[:, number, :JUDGED] = origin.actual[:, :JUDGED]
    return found


def _errors(panel: Panel, backtest: Sequence[Origin], stacks: Array) -> Array:
    """Return mean squared scaled errors, (series, origins, models)."""
    truth = _truth(panel, backtest)
    return nanmean((truth[:, :, None] - stacks) ** 2) / _scale(panel)[:, None, None] ** 2


def _scale(panel: Panel) -> Array:
    """Return what divides the errors of each series: those of naive, else its level, else one."""
    _, scale = naive_scales(panel.values, panel.season)
    scale = np.where(np.isfinite(scale), scale, nanmean(panel.values))
    return np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)


def _relative(names: Sequence[str], scores: Scores) -> list[dict[str, float]]:
    """Return the shrunk error of each model, by series, divided by that of seasonal naive."""
    ratios = np.exp(scores.shrunk - scores.shrunk[:, [names.index(NAIVE.name) if NAIVE.name in names else 0]])
    return [
        {name: round(float(ratio), 4) for name, ratio in zip(names, row, strict=True) if np.isfinite(ratio)}
        for row in ratios
    ]
