"""The work of one task: from histories to forecasts with their uncertainty. It runs in a child of the runner.

The same task gives the same bytes: nothing here depends on time, on chance or on the number of threads.
"""

from collections.abc import Sequence

import numpy as np

from forecast_service.fitting import portfolio
from forecast_service.fitting.classes import classify
from forecast_service.fitting.models import CHEAP, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import Fan, Outcome, Task


def forecast(task: Task) -> list[Outcome]:
    """Forecast each history, in their order. A series without enough history gets a fallback and the reason."""
    if not task.histories:
        return []
    panel = Panel.of(task)
    classes = np.array([classify(row) for row in panel.values])
    result = portfolio.compete(panel, classes, CHEAP if task.level == "cheap" else _all())
    fans = portfolio.fan(panel, classes, result)
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
                _why(panel, index, task),
            )
        )
    return outcomes


def _all() -> Sequence[Model]:
    from forecast_service.fitting.full import FULL  # noqa: PLC0415  (8 s of libraries that cheap models do not need)

    return FULL


def _why(panel: Panel, index: int, task: Task) -> str | None:
    length = int(panel.lengths[index])
    if length == 0:
        return "No demand is known before the origin."
    if length < 2 * panel.season:
        days = "1 day of demand is" if length == 1 else f"{length} days of demand are"
        return f"Only {days} known: too few to fit a model."
    if task.level == "full" and not panel.foreseen[index]:
        unknown = ", ".join(panel.unforeseen(index))
        return f"Models with drivers do not compete, because days of the horizon have no value of: {unknown}."
    return None
