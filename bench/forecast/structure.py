"""Measure sums of forecasts, reconciled or not, and forecasts of new items."""

from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from typing import Final

import numpy as np

from bench.forecast import recorded
from bench.forecast.measuring import Group, Measured, Measures, cpu, measure_means, peak
from bench.forecast.recorded import HELD_OUT, Year
from forecast_service.fitting import metrics, portfolio
from forecast_service.fitting.classes import classify
from forecast_service.fitting.full import FULL
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.reconcile import reconcile
from forecast_service.fitting.series import QUANTILES, Fan, History, Outcome
from forecast_service.fitting.structure import Structure
from forecast_service.hierarchy.model import spread_of
from forecast_service.introductions.model import NEW, SHAPE_DAYS, Category, like_category, shaped

STEP: Final = 28
"""Days between the origins from which new items are forecast."""
EACH: Final = 5
"""One of so many new items is forecast."""


def sums(items: Group, weeks: Group, above: list[list[int]]) -> Measured:
    """Forecast items and their sums in a child, and measure the sums by week in three ways."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_sums, items, weeks, above).result()


def _sums(items: Group, weeks: Group, above: list[list[int]]) -> Measured:
    before = cpu()
    (item_means, item_spreads), (means, spreads) = (_forecast(each.panel()) for each in (items, weeks))
    found = reconcile(Structure(above, means.tolist(), spreads, item_means.tolist(), item_spreads))
    spent = cpu() - before
    rows: dict[str, Measures] = {"alone": measure_means(weeks, weeks.panel(), means)}
    for name, each in (("bottom up", item_means), ("reconciled", np.array(found.item_means))):
        total = np.zeros_like(means)
        for row, nodes in zip(each, above, strict=True):
            total[nodes] += row
        rows[name] = measure_means(weeks, weeks.panel(), total)
    return Measured(rows, spent, peak())


def _forecast(panel: Panel) -> tuple[Array, list[float]]:
    classes = np.array([classify(row) for row in panel.values])
    result = portfolio.compete(panel, classes, FULL)
    daily = portfolio.fan(panel, result.means, portfolio.errors(panel, classes, result)).daily
    return result.means, [spread_of(Fan([], row.tolist(), [])) for row in daily]


def new_items(year: Year) -> Measures:
    """Forecast items with 1 to 27 days of demand by their mean, and as the service does, from the level of a category.

    Return mean squared errors and biases of 28 days, and the number of items.
    """
    category = np.array([name or "" for name in year.categories])
    flat: list[Array] = []
    shaped_: list[Array] = []
    truth: list[Array] = []
    for origin in range(SHAPE_DAYS + NEW, recorded.DAYS - HELD_OUT + 1, STEP):
        day, past = recorded.FIRST + timedelta(days=origin), year.items[:, :origin]
        days = origin - np.where((past > 0).any(axis=1), (past > 0).argmax(axis=1), origin)
        known: dict[str, Category] = {}
        for row in np.flatnonzero((days > 0) & (days < NEW) & (category != ""))[::EACH]:
            name = category[row]
            if name not in known:
                sold = past[category == name]
                known[name] = Category(_weekdays(sold.sum(axis=0), day), int((sold > 0).any(axis=1).sum()))
            own = History("new", day - timedelta(days=int(days[row])), past[row, -days[row] :].tolist(), whole=False)
            level = [float(np.mean(own.values))] * HELD_OUT
            outcome = Outcome(
                "new", "average", "smooth", Fan(level, [level] * len(QUANTILES), [level] * len(QUANTILES))
            )
            made = shaped(outcome, like_category(own, known[name], day, HELD_OUT))
            truth.append(year.items[row, origin : origin + HELD_OUT])
            flat.append(np.array(level))
            shaped_.append(np.array(made.fan.mean))
    found = {"items": float(len(truth))}
    for name, means in (("flat", np.array(flat)), ("category", np.array(shaped_))):
        found[name] = float(np.mean((np.array(truth) - means) ** 2))
        found[f"{name} bias"] = metrics.bias(np.array(truth), means)
    return found


def _weekdays(sold: Array, origin: date) -> list[float]:
    found = [0.0] * 7
    for number, quantity in enumerate(sold[-SHAPE_DAYS:].tolist(), start=-SHAPE_DAYS):
        found[(origin + timedelta(days=number)).weekday()] += quantity
    return found
