"""Series of known truth: what is cleaned, what is kept, and what is never changed."""

from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_service.fitting.cleaning import Cleaned, Marks, clean, planned
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import History, Task
from forecast_service.fitting.work import forecast

DAYS: Final = 280
WEEK: Final = np.resize([0.7, 0.8, 0.9, 1, 1.2, 1.4, 1], DAYS)
ORIGIN: Final = date(2026, 3, 2)


def demand(level: float = 20, series: int = 8, seed: int = 5) -> Array:
    """Poisson demand with a shape of the week."""
    values: Array = np.random.default_rng(seed).poisson(level * WEEK, (series, DAYS)).astype(float)
    return values


def cleaned(values: Array, marks: Marks | None = None, **drivers: Array) -> Cleaned:
    flags = planned([np.broadcast_to(each, values.shape) for each in drivers.values()], *values.shape)
    return clean(values, marks or Marks.none(*values.shape), flags, 7)


def marked(values: Array, days: slice) -> Marks:
    marks = Marks.none(*values.shape)
    marks.censored[:, days] = True
    return marks


@pytest.mark.parametrize("level", [0.3, 2, 20, 300])
def test_demand_as_usual_is_kept(level: float) -> None:
    values = demand(level, 30)
    assert cleaned(values).values.tobytes() == values.tobytes()


@pytest.mark.parametrize("size", [100.0, 400.0])
def test_spike_is_replaced_by_what_is_usual(size: float) -> None:
    values = demand()
    truth = values.copy()
    values[:, 150] += size
    values[:, -1] += size
    found = cleaned(values)
    assert found.outlier.sum(axis=1).tolist() == [2] * 8
    assert np.abs(found.values[:, [150, -1]] - truth[:, [150, -1]]).max() <= 4 * 24**0.5
    others = np.ones(DAYS, dtype=bool)
    others[[150, -1]] = False
    assert (found.values[:, others] == truth[:, others]).all()


def test_day_without_any_demand_of_a_busy_item_is_replaced() -> None:
    values = demand(100)
    values[:, 140] = 0
    found = cleaned(values)
    assert found.outlier.sum() == 8 and (found.values[:, 140] > 60).all()


@pytest.mark.parametrize("times", [0.2, 3.0, 6.0])
@pytest.mark.parametrize("since", [4, 6, 10, 30, 140])
def test_lasting_shift_of_the_level_is_kept(times: float, since: int) -> None:
    """Four days show that it lasts."""
    values = demand()
    values[:, -since:] *= times
    assert not cleaned(values).outlier.any()


def test_what_was_planned_is_kept() -> None:
    values, promotion, holiday = demand(), np.zeros(DAYS), np.zeros(DAYS)
    promotion[[100, 180]], holiday[200] = 1, 1
    values[:, [100, 180, 200]] *= 8
    assert cleaned(values).outlier.any(), "without the plan they are outliers"
    found = cleaned(values, promotion=promotion, holiday=holiday)
    assert found.values.tobytes() == values.tobytes()


def test_changed_price_explains_a_day() -> None:
    values, price = demand(), np.where(np.arange(DAYS) == 100, 1.49, 1.99)
    values[:, 100] *= 8
    assert not cleaned(values, price=price).outlier.any()


def test_campaign_that_nobody_planned_is_kept() -> None:
    values = demand()
    values[:, 100:104] *= 6
    assert not cleaned(values).outlier.any()


def test_large_orders_are_the_nature_of_some_series() -> None:
    chance = np.random.default_rng(2)
    values = np.where(chance.random((8, DAYS)) < 0.06, chance.choice([1.0, 1, 2, 40], (8, DAYS)), 0)
    assert not cleaned(values).outlier.any()


@pytest.mark.parametrize(("level", "share"), [(20, 0.1), (2, 0.2)])
def test_censored_week_is_recovered(level: float, share: float) -> None:
    """The item sold a third of what was wanted, and nothing on the last three days."""
    truth = demand(level, 40)
    values, week = truth.copy(), slice(200, 207)
    values[:, week] = np.floor(values[:, week] / 3)
    values[:, 204:207] = 0
    found = cleaned(values, marked(values, week))
    wanted, got = truth[:, week].sum(), found.values[:, week].sum()
    assert values[:, week].sum() < 0.3 * wanted
    assert abs(got / wanted - 1) < share
    assert (found.values[:, week] >= values[:, week]).all()
    untouched = np.delete(np.arange(DAYS), np.arange(200, 207))
    assert (found.values[:, untouched] == truth[:, untouched]).all()


def test_more_than_usual_while_out_of_stock_stays() -> None:
    values = demand()
    values[:, 200] = 500
    found = cleaned(values, marked(values, slice(200, 201)))
    assert (found.values[:, 200] == 500).all()


def test_person_has_the_last_word() -> None:
    values = demand()
    values[:, [100, 200]] = 500
    values[:, 150] = 3
    marks = marked(values, slice(150, 151))
    marks.kept[:, 100] = True
    marks.pinned[:, 200], marks.pinned[:, 150], marks.pinned[:, 40] = 33, 1, 44
    found = cleaned(values, marks).values
    assert (found[:, 100] == 500).all(), "undone"
    assert (found[:, 200] == 33).all() and (found[:, 40] == 44).all(), "pinned"
    assert (found[:, 150] == 3).all(), "a pin is never below what was sold"


def test_series_that_was_silent_for_long_has_ended() -> None:
    values = demand(0.5)
    values[:, -120:] = 0
    marks = Marks.none(*values.shape)
    assert cleaned(values, marks).ended.all()
    last = [int(np.flatnonzero(row)[-1]) for row in values]
    marks.kept[np.arange(4), np.array(last[:4]) + 1] = True
    marks.censored[4:, -60:] = True
    assert not cleaned(values, marks).ended.any(), "undone, or it could not be bought"


def test_season_of_a_rare_item_has_not_ended() -> None:
    values = np.zeros((1, DAYS))
    values[0, [3, 60, 130, 180]] = 2
    assert not cleaned(values).ended.any()


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from([0.0, 0, 1, 2, 3, 5, 30, 900, float("nan")]), min_size=1),
    st.floats(0, 1),
)
def test_cleaning_twice_is_cleaning_once(seed: int, sizes: list[float], often: float) -> None:
    chance = np.random.default_rng(seed)
    values = np.where(chance.random((4, 90)) < often, chance.choice(sizes, (4, 90)), chance.poisson(4, (4, 90)))
    raw = values.tobytes()
    censored, kept = (chance.random(values.shape) < share for share in (0.2, 0.05))
    found = clean(values, Marks(censored, kept, np.full(values.shape, np.nan)), kept, 7)
    assert values.tobytes() == raw
    sold = np.isfinite(values) & censored & ~kept
    assert (found.values[sold] >= values[sold]).all()
    assert (np.isfinite(found.values) == np.isfinite(values)).all()
    again = clean(found.values, Marks(np.zeros_like(censored), kept | censored, np.full(values.shape, np.nan)), kept, 7)
    assert again.values.tobytes() == found.values.tobytes()
    assert not again.outlier.any()


@pytest.mark.parametrize("change", ["shuffled", "scaled", "deleted"])
def test_what_came_later_changes_no_cleaned_byte(change: str) -> None:
    cut = 60
    panels = []
    for changed in (False, True):
        values = demand(3)
        values[:, [90, DAYS - cut - 2]] = 60
        marks = marked(values, slice(120, 125))
        if changed:
            later = values[:, -cut:]
            values[:, -cut:] = {
                "shuffled": np.random.default_rng(9).permuted(later, axis=1),
                "scaled": later * 1000,
                "deleted": np.full_like(later, np.nan),
            }[change]
            marks.censored[:, -cut:], marks.kept[:, -cut:], marks.pinned[:, -cut:] = True, True, 7
        panels.append(Panel(values, np.zeros(DAYS + 14, dtype=bool), 14, marks=marks).cut(cut))
    left, right = panels
    assert left.cleaned.outlier.sum() == 16 and left.cleaned.censored.sum() == 40
    assert left.filled.tobytes() == right.filled.tobytes()
    assert left.cleaned.usual.tobytes() == right.cleaned.usual.tobytes()


def history(values: Array, **marks: Any) -> History:
    return History("a", ORIGIN - timedelta(days=len(values)), values.tolist(), **marks)


def test_forecasts_are_judged_by_demand_that_was_not_censored() -> None:
    values = demand()
    panel = Panel(values, np.zeros(DAYS + 14, dtype=bool), 14, marks=marked(values, slice(DAYS - 10, DAYS - 5)))
    truth = panel.since(14)
    assert np.isnan(truth[:, 4:9]).all() and np.isfinite(np.delete(truth, range(4, 9), axis=1)).all()
    values[:, -3] = 900
    panel = Panel(values, np.zeros(DAYS + 14, dtype=bool), 14)
    assert (panel.filled[:, -3] < 100).all() and (panel.since(14)[:, 11] == 900).all(), "an outlier was wanted too"


def test_each_decision_has_its_reason() -> None:
    values = demand(series=1)[0]
    values[-5], values[-20:-17] = 300, [3, 0, 1]
    days = [ORIGIN - timedelta(days=n) for n in (20, 19, 18)]
    values[-40] = np.nan
    missing = {ORIGIN - timedelta(days=40): "feed_down"}
    task = Task(ORIGIN, 14, [history(values, censored=frozenset(days), missing=missing)], "cheap")
    (outcome,) = forecast(task)
    assert [(each.rule, each.before) for each in outcome.decisions] == [
        ("outlier", 300),
        ("out_of_stock", 1),
        ("out_of_stock", 0),
        ("out_of_stock", 3),
        ("feed_down", None),
    ]
    assert "Far above" in outcome.decisions[0].reason and "at least 1 was wanted" in outcome.decisions[1].reason
    assert all(10 < each.after < 35 for each in outcome.decisions)
    assert outcome.why is None


def test_ended_series_is_forecast_as_zero() -> None:
    values = demand(3, series=1)[0]
    values[-120:] = 0
    (outcome,) = forecast(Task(ORIGIN, 14, [history(values)], "cheap"))
    assert sum(outcome.fan.mean) == 0 and outcome.why is not None and "ended" in outcome.why
    (decision,) = outcome.decisions
    assert (decision.rule, decision.day) == ("ended", ORIGIN - timedelta(days=120))
    (undone,) = forecast(Task(ORIGIN, 14, [history(values, kept=frozenset([decision.day]))], "cheap"))
    assert (undone.decisions, undone.why) == ([], None)
