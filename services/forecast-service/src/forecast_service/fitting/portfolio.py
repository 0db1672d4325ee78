"""Let all models and combinations compete on the past, and forecast each series with what wins there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from forecast_service.fitting import choosing, models, uncertainty
from forecast_service.fitting.backtest import Origin, origins
from forecast_service.fitting.choosing import CLEAR, KINDS, OVERLAP, Classes, Mask, Scores
from forecast_service.fitting.metrics import Array, naive_scales, nanmean
from forecast_service.fitting.models import AVERAGE, NAIVE, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import Change, Choice, Kind
from forecast_service.fitting.uncertainty import Errors, Fans, Past

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
    """Means of a panel, (series, horizon), and how they were chosen, by series.

    `weights` has the models of the choice, the best first; it is empty if no model has a forecast. `scores` are the
    shrunk errors of the models as multiples of that of seasonal naive. `changes` are of choices that were replaced.
    `past` has what the same choice would have forecast at each origin, made without the errors of origins near it.
    `alone` has the means of each model, and of each combination.
    """

    means: Array
    kinds: Sequence[Kind]
    weights: Sequence[Mapping[str, float]]
    scores: Sequence[Mapping[str, float]]
    changes: Sequence[Change | None]
    past: Sequence[Past]
    alone: Mapping[str, Array]


def compete(
    panel: Panel,
    classes: Classes,
    competing: Sequence[Model],
    count: int = ORIGINS,
    before: Sequence[Choice | None] | None = None,
) -> Result:
    """Backtest the models, forecast with those that are worth it, and choose between them and their combinations.

    `before` are the choices so far, by series. They compete too, and stay unless another is clearly better.
    """
    step = max(1, min(STEP, panel.horizon // 2))
    backtest = origins(panel, count, step, max(LEAST * panel.season, 6))
    names = [each.name for each in competing]
    so_far = before or [None] * len(panel)
    admitted = np.stack([np.isin(classes, list(each.classes)) | each.cheap for each in competing], axis=1)
    costly = np.array([each.costly for each in competing])
    tried = admitted & (~costly | _sample(panel, classes)[:, None])
    stacks = _backtest(backtest[:TRIED], competing, tried, panel)
    admitted &= ~costly | _worth(panel, classes, backtest[:TRIED], stacks)
    admitted |= Weighted.of(names, so_far).weights > 0
    stacks = _backtest(backtest, competing, admitted, panel, done=stacks)
    last = [models.forecast(model, panel, admitted[:, column]) for column, model in enumerate(competing)]
    return _choose(panel, classes, names, costly, backtest, stacks, np.stack(last, axis=1), so_far)


def refit(panel: Panel, choices: Sequence[Choice], competing: Sequence[Model]) -> Array:
    """Return the means of the chosen models, (series, horizon), `nan` where none of them has a forecast."""
    chosen = Weighted.of([each.name for each in competing], choices)
    last = np.full((len(panel), len(competing), panel.horizon), np.nan)
    for column, model in enumerate(competing):
        rows = chosen.weights[:, column] > 0
        if rows.any():
            last[:, column] = models.forecast(model, panel, np.ones_like(rows) if model.shared else rows)
    return choosing.mix(last, chosen.weights, chosen.kinds)


def errors(panel: Panel, classes: Classes, result: Result) -> Errors:
    """Return the quantiles of the errors of the chosen models in the backtest."""
    return uncertainty.errors(result.past, classes, result.means.mean(axis=1), panel.season, panel.horizon)


def fan(panel: Panel, means: Array, errors: Errors) -> Fans:
    """Return the quantiles of each day and of the sums of days."""
    return uncertainty.fans(means, uncertainty.spread(panel, means), errors, panel.season)


@dataclass(frozen=True, slots=True)
class Weighted:
    """Choices as matrices: the weight of each model, (series, models), all zero without a choice, and the kinds."""

    weights: Array
    kinds: npt.NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str], choices: Sequence[Choice | None]) -> Self:
        weights, kinds = np.zeros((len(choices), len(names))), np.zeros(len(choices), dtype=np.int64)
        for row, choice in enumerate(choices):
            if choice is not None:
                weights[row] = [choice.weights.get(name, 0.0) for name in names]
                kinds[row] = KINDS.index(choice.kind)
        return cls(weights, kinds)

    def ordered(self, row: int, names: Sequence[str], scores: Scores) -> dict[str, float]:
        """Return the weights of a series, the best model first: for the median, that of the class."""
        ranks = (scores.pooled if KINDS[self.kinds[row]] == "median" else scores.shrunk)[row]
        best = np.argsort(np.where(np.isfinite(ranks), ranks, np.inf), kind="stable")
        return {names[each]: round(float(self.weights[row, each]), 4) for each in best if self.weights[row, each] > 0}


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
    panel: Panel,
    classes: Classes,
    names: Sequence[str],
    costly: Mask,
    backtest: Sequence[Origin],
    stacks: Array,
    last: Array,
    before: Sequence[Choice | None],
) -> Result:
    truth = _truth(panel, backtest)
    squared = _errors(panel, backtest, stacks)
    scores = choosing.score(squared, classes, choosing.guard(truth, stacks, classes))
    combined = np.full((len(panel), len(backtest), len(KINDS), panel.horizon), np.nan)
    for number in range(len(backtest)):
        apart = np.abs(np.arange(len(backtest)) - number) >= min(OVERLAP, len(backtest) - 1)
        combined[:, number] = choosing.combine(stacks[:, number], choosing.score(squared[:, apart], classes), costly)
    ranks = choosing.score(_errors(panel, backtest, combined), classes, choosing.guard(truth, combined, classes)).pooled
    ranks = np.where(np.isfinite(ranks), ranks, 0.0) - CLEAR * (np.array(KINDS) == "weighted")
    kinds = ranks.argmin(axis=1)

    rows = np.arange(len(panel))
    weights = choosing.weigh(np.asarray(np.isfinite(last).all(axis=2)), scores, costly)
    chosen, tested = Weighted(weights[rows, kinds], kinds), combined[rows, :, kinds]
    described = [chosen.ordered(row, names, scores) for row in range(len(panel))]
    so_far = Weighted.of(names, before)
    old = np.full_like(tested, np.nan)
    for number in range(len(backtest)):
        old[:, number] = choosing.mix(stacks[:, number], so_far.weights, so_far.kinds)
    there = np.isfinite(choosing.mix(last, so_far.weights, so_far.kinds)[:, 0])
    naive = stacks[:, :, names.index(NAIVE.name) if NAIVE.name in names else 0]
    relative = choosing.improved(_errors(panel, backtest, np.stack([naive, old, tested], axis=2)), classes)
    changes: list[Change | None] = [None] * len(panel)
    keeps = np.zeros(len(panel), dtype=bool)
    for row in map(int, np.flatnonzero(there)):
        choice = before[row]
        if choice is not None and not choice.same(KINDS[kinds[row]], described[row]):
            errors = tuple(round(float(each[row]), 4) for each in relative)
            keeps[row] = not choosing.wins(*errors)
            if keeps[row]:
                described[row] = dict(choice.weights)
            else:
                changes[row] = Change(*errors)
    chosen = Weighted(
        np.where(keeps[:, None], so_far.weights, chosen.weights), np.where(keeps, so_far.kinds, chosen.kinds)
    )
    tested = np.where(keeps[:, None, None], old, tested)
    means = choosing.mix(last, chosen.weights, chosen.kinds)
    lost = np.isnan(means[:, 0])
    means[lost] = models.run(AVERAGE, panel)[lost]
    past = [
        Past(origin.actual, tested[:, number], uncertainty.spread(origin.past, tested[:, number]))
        for number, origin in enumerate(backtest)
    ]
    alone = dict(zip(names, last.swapaxes(0, 1), strict=True))
    alone |= {kind: choosing.mix(last, weights[:, n], np.full(len(panel), n)) for n, kind in enumerate(KINDS)}
    return Result(
        means,
        [KINDS[each] for each in chosen.kinds],
        [{} if lost[row] else each for row, each in enumerate(described)],
        _relative(names, scores),
        changes,
        past,
        alone,
    )


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
    _, scale = naive_scales(panel.observed, panel.season)
    scale = np.where(np.isfinite(scale), scale, nanmean(panel.observed))
    return np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)


def _relative(names: Sequence[str], scores: Scores) -> list[dict[str, float]]:
    """Return the shrunk error of each model, by series, divided by that of seasonal naive."""
    ratios = np.exp(scores.shrunk - scores.shrunk[:, [names.index(NAIVE.name) if NAIVE.name in names else 0]])
    return [
        {name: round(float(ratio), 4) for name, ratio in zip(names, row, strict=True) if np.isfinite(ratio)}
        for row in ratios
    ]
