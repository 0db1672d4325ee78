"""The work of one task: from histories to forecasts with their uncertainty. It runs in a child of the runner.

The same task gives the same bytes: nothing here depends on time, on chance or on the number of threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_service.fitting import choosing, models, uncertainty
from forecast_service.fitting.backtest import Origin, origins
from forecast_service.fitting.choosing import Classes, Scores
from forecast_service.fitting.classes import classify
from forecast_service.fitting.metrics import Array, naive_scales, nanmean
from forecast_service.fitting.models import AVERAGE, CHEAP, FULL, NAIVE, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import Fan, Outcome, Task
from forecast_service.fitting.uncertainty import Fans, Past

ORIGINS: Final = 6
STEP: Final = 2
"""Seasons from one origin of the backtest to the next."""
LEAST: Final = 4
"""Seasons of history that some series must have before an origin."""
JUDGED: Final = 4
"""Seasons of the horizon that count in the choice."""


@dataclass(frozen=True, slots=True)
class Result:
    """Means of a panel, (series, horizon), by whom, and how each model scored: its shrunk error as a multiple of naive.

    `past` has what the same choice would have forecast at each origin, made without the errors of that origin.
    `alone` has the means of each model, and of each combination.
    """

    means: Array
    names: Sequence[str]
    scores: Sequence[dict[str, float]]
    past: Sequence[Past]
    alone: dict[str, Array]


def forecast(task: Task) -> list[Outcome]:
    """Forecast each history, in their order. A series that nothing can be said about gets a fallback that says why."""
    if not task.histories:
        return []
    panel = Panel.of(task)
    classes = np.array([classify(row) for row in panel.values])
    result = portfolio(panel, classes, CHEAP if task.level == "cheap" else FULL)
    fans = fan(panel, classes, result)
    outcomes = []
    for index, history in enumerate(task.histories):
        daily, cumulative = fans.daily[index], fans.cumulative[index]
        if history.whole:
            daily, cumulative = np.rint(daily), np.rint(cumulative)
        outcomes.append(
            Outcome(
                history.series,
                result.names[index],
                classes[index].item(),
                Fan(result.means[index].tolist(), daily.tolist(), cumulative.tolist()),
                result.scores[index],
                _why(int(panel.lengths[index]), panel.season),
            )
        )
    return outcomes


def portfolio(panel: Panel, classes: Classes, competing: Sequence[Model]) -> Result:
    """Backtest all models and combinations, and forecast each series with the one that its scores choose."""
    season = panel.season
    backtest = origins(panel, ORIGINS, STEP * season, LEAST * season)
    for model in competing:
        for origin in backtest:
            origin.means[model.name] = models.forecast(model, origin.past, _admitted(model, classes))
    last = [models.forecast(model, panel, _admitted(model, classes)) for model in competing]
    return _choose(panel, classes, [model.name for model in competing], backtest, np.stack(last, axis=1))


def _admitted(model: Model, classes: Classes) -> npt.NDArray[np.bool_]:
    return np.isin(classes, list(model.classes)) | model.cheap


def _choose(panel: Panel, classes: Classes, names: Sequence[str], backtest: Sequence[Origin], last: Array) -> Result:
    scale = _scale(panel)
    stacks = [np.stack([origin.means[name] for name in names], axis=1) for origin in backtest]
    judged = JUDGED * panel.season
    errors = _errors([each.actual for each in backtest], stacks, scale, judged, len(names))
    scores = choosing.score(errors, classes, _penalty(backtest, stacks, classes, judged))
    combined = [
        choosing.combine(stack, choosing.score(np.delete(errors, number, axis=1), classes))
        for number, stack in enumerate(stacks)
    ]
    among = choosing.score(
        _errors([each.actual for each in backtest], combined, scale, judged, len(choosing.KINDS)),
        classes,
        _penalty(backtest, combined, classes, judged),
    )
    ranked = np.where(np.isfinite(among.shrunk), among.shrunk, 0.0)
    kinds = ranked.argmin(axis=1)
    rows = list(range(len(panel)))
    combinations = choosing.combine(last, scores)
    means = combinations[rows, kinds]
    lost = np.isnan(means[:, 0])
    means[lost] = models.run(AVERAGE, panel)[lost]
    past = [
        Past(origin.actual, mean, uncertainty.spread(origin.past, mean))
        for origin, each in zip(backtest, combined, strict=True)
        for mean in [each[rows, kinds]]
    ]
    described = [
        AVERAGE.name if lost[row] else choosing.describe(choosing.KINDS[int(kinds[row])], names, scores, last[row], row)
        for row in rows
    ]
    alone = dict(zip(names, last.swapaxes(0, 1), strict=True))
    alone |= dict(zip(choosing.KINDS, combinations.swapaxes(0, 1), strict=True))
    return Result(means, described, _relative(names, scores), past, alone)


def _errors(actual: Sequence[Array], stacks: Sequence[Array], scale: Array, judged: int, count: int) -> Array:
    """Return mean squared scaled errors, (series, origins, models)."""
    if not stacks:
        return np.full((len(scale), 0, count), np.nan)
    squared = [((truth[:, None] - stack)[:, :, :judged]) ** 2 for truth, stack in zip(actual, stacks, strict=True)]
    return np.stack([nanmean(each) for each in squared], axis=1) / scale[:, None, None] ** 2


def _penalty(backtest: Sequence[Origin], stacks: Sequence[Array], classes: Classes, judged: int) -> Array | None:
    if not stacks:
        return None
    truth = np.stack([each.actual[:, :judged] for each in backtest], axis=1)
    return choosing.guard(truth, np.stack(stacks, axis=1)[..., :judged], classes)


def _scale(panel: Panel) -> Array:
    """Return what divides the errors of each series: those of seasonal naive, else its level, else one."""
    _, scale = naive_scales(panel.values, panel.season)
    level = nanmean(panel.values)
    scale = np.where(np.isfinite(scale), scale, level)
    return np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)


def _relative(names: Sequence[str], scores: Scores) -> list[dict[str, float]]:
    """Return the shrunk error of each model, by series, divided by that of seasonal naive."""
    naive = scores.shrunk[:, [names.index(NAIVE.name)]]
    ratios = np.exp(scores.shrunk - naive)
    return [
        {name: round(float(ratio), 4) for name, ratio in zip(names, row, strict=True) if np.isfinite(ratio)}
        for row in ratios
    ]


def _why(length: int, season: int) -> str | None:
    if length == 0:
        return "No demand is known before the origin."
    if length < 2 * season:
        days = "1 day of demand is" if length == 1 else f"{length} days of demand are"
        return f"Only {days} known: too few to fit a model."
    return None


def fan(panel: Panel, classes: Classes, result: Result) -> Fans:
    """Return the quantiles of each day and of the sums of days."""
    wide = uncertainty.spread(panel, result.means)
    level = result.means.mean(axis=1)
    return uncertainty.fans(result.means, wide, result.past, classes, level, panel.season)
