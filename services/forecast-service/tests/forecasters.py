"""Forecasters for tests, which the child finds by their names. They import no library for numbers."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import nan

from forecast_service.fitting.series import Outcome, Task
from forecast_service.fitting.structure import Coherent, Structure
from forecast_service.runs.model import fallback


def make() -> Callable[[Task], Iterable[Outcome]]:
    return forecast


def broken() -> Callable[[Task], Iterable[Outcome]]:
    raise ImportError("No module named 'prophet'")


def slow() -> Callable[[Task], Iterable[Outcome]]:
    def forecast_slowly(task: Task) -> list[Outcome]:
        if task.level == "full":
            time.sleep(3600)
        return forecast(task)

    return forecast_slowly


def reconciling() -> Callable[[Task | Structure], Iterable[Outcome | Coherent]]:
    """Forecast and reconcile: every item gets twice its mean."""
    return lambda task: forecast(task) if isinstance(task, Task) else [_doubled(task)]


def unreconciled() -> Callable[[Task | Structure], Iterable[Outcome | Coherent]]:
    """Find no library for it."""

    def fail(task: Task | Structure) -> list[Outcome]:
        if isinstance(task, Structure):
            raise ModuleNotFoundError("No module named 'hierarchicalforecast'")
        return forecast(task)

    return fail


def never_reconciled() -> Callable[[Task | Structure], Iterable[Outcome | Coherent]]:
    def hang(task: Task | Structure) -> list[Outcome]:
        if isinstance(task, Structure):
            time.sleep(3600)
            raise AssertionError
        return forecast(task)

    return hang


def negative() -> Callable[[Task | Structure], Iterable[Outcome | Coherent]]:
    return lambda task: (
        forecast(task) if isinstance(task, Task) else [Coherent([[-1.0] * len(each) for each in task.item_means])]
    )


def _doubled(structure: Structure) -> Coherent:
    return Coherent([[2 * value for value in each] for each in structure.item_means])


def forecast(task: Task) -> list[Outcome]:
    """Forecast means. What a series gets depends on its chunk, as in a real forecaster. A category names a fault."""
    share = sum(sum(each.values) for each in task.histories) / 1000
    outcomes = []
    for history in task.histories:
        match history.category:
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hangs":
                time.sleep(3600)
            case "fails":
                raise ValueError("singular matrix")
            case "forgets":
                continue
        outcome = replace(fallback(history, task.horizon, ""), model=task.level, why=None, scores={"rmsse": share})
        if history.category == "nan":
            outcome = replace(outcome, fan=replace(outcome.fan, mean=[nan] * task.horizon))
        outcomes.append(outcome)
    return outcomes


def driven() -> Callable[[Task], Iterable[Outcome]]:
    """Return a forecaster whose means are the promotion of each day, as the origin knows it, and zero if closed."""

    def forecast_promotions(task: Task) -> list[Outcome]:
        from forecast_service.fitting.panel import Panel  # noqa: PLC0415  (numpy, which the other ones do not need)

        panel = Panel.of(task)
        promotion = panel.drivers["promotion"][:, -task.horizon :] * ~panel.ahead
        return [
            replace(outcome, fan=replace(outcome.fan, mean=means.tolist()))
            for outcome, means in zip(forecast(task), promotion, strict=True)
        ]

    return forecast_promotions


def cheap() -> Callable[[Task], Iterable[Outcome]]:
    """Return the real forecaster with models that take no fit."""
    from forecast_service.fitting import work  # noqa: PLC0415  (only the child may import it)
    from forecast_service.fitting.models import CHEAP  # noqa: PLC0415

    work._all = lambda: CHEAP
    return work.forecast


def priced() -> Callable[[Task], Iterable[Outcome]]:
    """Return a forecaster whose means are the price of each day, and zero on closed days."""

    def forecast_prices(task: Task) -> list[Outcome]:
        outcomes = []
        for outcome, history in zip(forecast(task), task.histories, strict=True):
            days = range(task.origin.toordinal(), task.origin.toordinal() + task.horizon)
            means = [
                next((p.value for p in reversed(history.plans) if p.first <= day and (p.last or day) >= day), 1.0)
                for day in days
            ]
            closed = {day.toordinal() for day in task.closed}
            means = [0.0 if day in closed else mean for day, mean in zip(days, means, strict=True)]
            outcomes.append(replace(outcome, fan=replace(outcome.fan, mean=means)))
        return outcomes

    return forecast_prices


def marked() -> Callable[[Task], Iterable[Outcome]]:
    """Return a forecaster whose means are the number of days on which the item was out of stock."""

    def forecast_marks(task: Task) -> list[Outcome]:
        return [
            replace(outcome, fan=replace(outcome.fan, mean=[float(len(history.censored))] * task.horizon))
            for outcome, history in zip(forecast(task), task.histories, strict=True)
        ]

    return forecast_marks


def real() -> Callable[[Task], Iterable[Outcome]]:
    """Return the real work with models that take no fit, which starts fast."""
    from forecast_service.fitting import work  # noqa: PLC0415  (only a child imports libraries for numbers)

    return lambda task: work.forecast(replace(task, level="cheap"))
