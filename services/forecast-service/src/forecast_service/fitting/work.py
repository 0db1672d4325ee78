"""The work of one task: from histories to forecasts with their uncertainty. It runs in a child of the runner.

The same task gives the same bytes: nothing here depends on time, on chance or on the number of threads.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from forecast_service.fitting import portfolio
from forecast_service.fitting.classes import classify
from forecast_service.fitting.decisions import decisions
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import AVERAGE, CHEAP, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.portfolio import Result
from forecast_service.fitting.series import Choice, Fan, History, Outcome, Task, named
from forecast_service.fitting.uncertainty import Errors, Fans

DIGITS: Final = 4
"""Digits after the point of what is stored with a choice, so that it is small."""


def forecast(task: Task) -> list[Outcome]:
    """Forecast each history. A series without enough history gets a fallback and the reason.

    A series whose chosen models have no forecast any more is chosen anew.
    """
    made: dict[str, Outcome] = {}
    if task.level == "refit":
        made = _refit(task, [each for each in task.histories if _fits(task, each)])
    return [*made.values(), *_choose(task, [each for each in task.histories if each.series not in made])]


def _fits(task: Task, history: History) -> bool:
    """Return whether the choice of a series has errors for each day of the horizon."""
    choice = task.choices.get(history.series)
    return choice is not None and len(choice.sums[0]) >= task.horizon


def _refit(task: Task, histories: Sequence[History]) -> dict[str, Outcome]:
    if not histories:
        return {}
    panel = Panel.of(replace(task, histories=histories))
    choices = [task.choices[each.series] for each in histories]
    means = portfolio.refit(panel, choices, _all())
    fits = np.isfinite(means[:, 0])
    weeks = -(-task.horizon // panel.season)
    daily = np.array([[row[:weeks] for row in each.daily] for each in choices])
    stored = Errors(daily, np.array([[row[: task.horizon] for row in each.sums] for each in choices]))
    fans = portfolio.fan(panel, np.where(fits[:, None], means, 0.0), stored)
    return {
        history.series: Outcome(
            history.series,
            choices[index].name,
            classify(panel.observed[index]),
            _fan(history, means[index], fans, index),
            choices[index].scores,
            _why(panel, index, task),
            decisions=decisions(panel, index, history),
        )
        for index, history in enumerate(histories)
        if fits[index]
    }


def _choose(task: Task, histories: Sequence[History]) -> list[Outcome]:
    if not histories:
        return []
    panel = Panel.of(replace(task, histories=histories))
    classes = np.array([classify(row) for row in panel.observed])
    before = [task.choices.get(each.series) for each in histories]
    result = portfolio.compete(panel, classes, CHEAP if task.level == "cheap" else _all(), before=before)
    errors = portfolio.errors(panel, classes, result)
    fans = portfolio.fan(panel, result.means, errors)
    outcomes = []
    for index, history in enumerate(histories):
        weights, choice = result.weights[index], None
        if weights and task.level != "cheap":
            choice = Choice(
                result.kinds[index],
                weights,
                errors.daily[index].round(DIGITS).tolist(),
                errors.sums[index].round(DIGITS).tolist(),
                _first_week(result, index, panel.season),
                result.scores[index],
            )
        outcomes.append(
            Outcome(
                history.series,
                named(result.kinds[index], weights or [AVERAGE.name]),
                classes[index].item(),
                _fan(history, result.means[index], fans, index),
                result.scores[index],
                _why(panel, index, task),
                choice,
                result.changes[index],
                decisions(panel, index, history),
            )
        )
    return outcomes


def _fan(history: History, means: Array, fans: Fans, index: int) -> Fan:
    daily, cumulative = fans.daily[index], fans.cumulative[index]
    if history.whole:
        daily, cumulative = np.rint(daily), np.rint(cumulative)
    return Fan(means.tolist(), daily.tolist(), cumulative.tolist())


def _first_week(result: Result, index: int, season: int) -> float | None:
    """Return the mean absolute error of a day in the first week after the origins, None if there is none."""
    days = [np.abs(each.actual[index, :season] - each.mean[index, :season]) for each in result.past]
    known = np.concatenate(days) if days else np.zeros(0)
    known = known[np.isfinite(known)]
    return round(float(known.mean()), DIGITS) if known.size else None


def _all() -> Sequence[Model]:
    from forecast_service.fitting.full import FULL  # noqa: PLC0415  (8 s of libraries that cheap models do not need)

    return FULL


def _why(panel: Panel, index: int, task: Task) -> str | None:
    length = int(panel.lengths[index])
    if panel.cleaned.ended[index]:
        return "Nobody has asked for it for very long: it is taken as ended."
    if length == 0:
        return "No demand is known before the origin."
    if length < 2 * panel.season:
        days = "1 day of demand is" if length == 1 else f"{length} days of demand are"
        return f"Only {days} known: too few to fit a model."
    if task.level == "full" and not panel.foreseen[index]:
        unknown = ", ".join(panel.unforeseen(index))
        return f"Models with drivers do not compete, because days of the horizon have no value of: {unknown}."
    return None
