"""Choose between models and combinations of them, by what they would have forecast.

Few origins choose badly, so the scores of a series are shrunk towards those of its class. The weight of a series' own
scores follows from the data: the spread between series over the spread that origins alone explain (empirical Bayes).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting.metrics import Array, nanmean, nanmedian
from forecast_service.fitting.series import Kind

Classes = npt.NDArray[np.str_]
Mask = npt.NDArray[np.bool_]

STEEP: Final = 25.0
"""A model whose shrunk error is 10 % higher has a weight of exp(-2.5) of the better one's."""
FEW: Final = 3
"""The median is that of so many models: the best of the class."""
OVERLAP: Final = 2
"""The days that are judged after an origin overlap those of origins nearer than this."""
CLEAR: Final = 0.005
"""A single model or the median must be better than the weighted mean by this to be chosen: 0.5 %."""
FLOOR: Final = 1e-3
"""Added to squared scaled errors: a series without demand in the backtest cannot decide a choice."""
SLIGHT: Final = 0.02
"""A model whose weight is a smaller part of all weights is left out: each night it would cost a fit.

On the busiest items this saves a quarter of a night's time and changes no error; 0.05 costs 0.2 % of RMSSE."""
DEAR: Final = 0.1
"""The same for costly models.

In November it saves a quarter of their fits of the busiest items, and half of those of categories. RMSSE changes by
less than 0.1 %. With 0.15, that of categories would rise by 0.4 %."""
WIN: Final = 0.02
"""A new choice replaces another if its error is lower by so much: 2 %."""
KINDS: Final[tuple[Kind, ...]] = ("single", "weighted", "median")
FREE_BIAS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Scores:
    """Logarithms of relative errors, lower is better: `shrunk` is (series, models), `pooled` those of the class."""

    shrunk: Array
    pooled: Array


def score(errors: Array, classes: Classes, penalties: Array | None = None) -> Scores:
    """Shrink the scores of each series. `errors`: squared scaled, (series, origins, models), `nan` if there is none.

    `penalties`, (series, models), are added to all: the bias guard.
    """
    logs = np.log(errors + FLOOR) / 2
    logs = logs - nanmean(logs)[:, :, None]
    own = nanmean(logs, axis=1)
    pooled, shrunk = np.full_like(own, np.nan), np.full_like(own, np.nan)
    everywhere = nanmean(own, axis=0)
    for each in np.unique(classes):
        rows = classes == each
        centre = nanmean(own[rows], axis=0)
        centre = np.where(np.isnan(centre), everywhere, centre)
        weight = _own_weight(logs[rows], own[rows], centre)
        pooled[rows] = centre
        shrunk[rows] = np.where(np.isnan(own[rows]), centre, centre + weight * (own[rows] - centre))
    if penalties is not None:
        pooled, shrunk = pooled + penalties, shrunk + penalties
    return Scores(shrunk, pooled)


def _own_weight(logs: Array, own: Array, centre: Array) -> float:
    counts = np.isfinite(logs).sum(axis=1)
    within = (np.where(np.isfinite(logs), logs - own[:, None], 0.0) ** 2).sum() / max(
        1, np.maximum(counts - 1, 0).sum()
    )
    known = np.isfinite(own)
    if known.sum() < 2 or not (counts > 1).any():
        return 0.0
    between = float(((own - centre)[known] ** 2).mean())
    noise = float((within / np.maximum(counts, 1))[known].mean())
    return max(0.0, between - noise) / between if between > 0 else 0.0


def weigh(there: Mask, scores: Scores, costly: Mask | None = None) -> Array:
    """Return the weight of each model in each kind, (series, kinds, models). The weights of `median` are 1.

    A model that has no forecast of a series does not count there: `there` is (series, models). `costly` models, by
    model, must have more weight. They stay if no other model would be left.
    """
    shrunk = np.where(there & np.isfinite(scores.shrunk), scores.shrunk, np.inf)
    pooled = np.where(there & np.isfinite(scores.pooled), scores.pooled, np.inf)
    competes = np.isfinite(shrunk)
    single = (np.arange(shrunk.shape[1]) == shrunk.argmin(axis=1)[:, None]) & competes
    least = np.minimum(shrunk.min(axis=1, initial=np.inf, keepdims=True), 1e9)
    weights = np.where(competes, np.exp(-STEEP * (shrunk - least)), 0.0)
    slight = SLIGHT if costly is None else np.where(costly, DEAR, SLIGHT)
    enough = weights >= slight * weights.sum(axis=1, keepdims=True)
    weights = np.where(enough | ~enough.any(axis=1, keepdims=True), weights, 0.0)
    ranks = pooled.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    few = (ranks < FEW) & np.isfinite(pooled)
    return np.stack([single, weights, few], axis=1).astype(float)


def mix(stack: Array, weights: Array, kinds: npt.NDArray[np.int64]) -> Array:
    """Return means of one kind for each series, (series, horizon), `nan` if none of its models has a forecast.

    `stack` is (series, models, horizon), `weights` (series, models).
    """
    there = np.all(np.isfinite(stack), axis=2)
    weights = np.where(there, weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    mean = (np.where(there[:, :, None], stack, 0.0) * shares[:, :, None]).sum(axis=1)
    median = nanmedian(np.where((weights > 0)[:, :, None], stack, np.nan))
    return np.where(total > 0, np.where(kinds[:, None] == KINDS.index("median"), median, mean), np.nan)


def combine(stack: Array, scores: Scores, costly: Mask | None = None) -> Array:
    """Return the means of each kind, (series, kinds, horizon), from those of the models, (series, models, horizon)."""
    weights = weigh(np.all(np.isfinite(stack), axis=2), scores, costly)
    made = [mix(stack, weights[:, kind], np.full(len(stack), kind)) for kind in range(len(KINDS))]
    return np.stack(made, axis=1)


def guard(actual: Array, stack: Array, classes: Classes) -> Array:
    """Return a penalty on the score of each model, by class: its bias beyond 5 %.

    `actual` is (series, origins, horizon), `stack` (series, origins, models, horizon).
    """
    found = np.zeros((stack.shape[0], stack.shape[2]))
    known = np.isfinite(actual)[:, :, None] & np.isfinite(stack)
    truth = np.where(known, actual[:, :, None], 0.0)
    guess = np.where(known, stack, 0.0)
    for each in np.unique(classes):
        rows = classes == each
        demand = truth[rows].sum(axis=(0, 1, 3))
        error = np.abs(guess[rows].sum(axis=(0, 1, 3)) - demand)
        found[rows] = np.log1p(np.maximum(0.0, error / np.maximum(demand, 1e-9) - FREE_BIAS))
    return found


def improved(errors: Array, classes: Classes) -> tuple[Array, Array]:
    """Return the errors of two choices as multiples of that of naive, each (series,), shrunk towards their classes'.

    `errors` are squared scaled, (series, origins, 3): of naive, of the choice so far, and of the new one.
    """
    shrunk = score(errors, classes).shrunk
    found = np.exp(shrunk - shrunk[:, [0]])
    return found[:, 1], found[:, 2]


def wins(before: float, after: float) -> bool:
    """Return whether a new choice is clearly better than the one so far. It is not if either error is unknown."""
    return after <= (1 - WIN) * before
