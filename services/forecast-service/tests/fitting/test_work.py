import pickle
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_service.fitting import full
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import CHEAP, Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.series import QUANTILES, History, Outcome, Task
from forecast_service.fitting.work import forecast

ORIGIN: Final = date(2026, 3, 2)
HORIZON: Final = 14
NAN: Final = float("nan")

STRANGE: Final[dict[str, list[float]]] = {
    "empty": [],
    "one row": [3.0],
    "two rows": [3.0, 0.0],
    "all zero": [0.0] * 100,
    "all unknown": [NAN] * 100,
    "constant": [5.0] * 200,
    "0.001 beside 1e9": [0.001, 1e9] * 60,
    "first sale yesterday": [0.0] * 99 + [4.0],
    "infinite and negative": [float("inf"), -3.0, 1.0] * 20,
    "gaps": [2.0, NAN, 3.0, NAN, NAN, 1.0] * 20,
    "long ended": [4.0] * 50 + [0.0] * 150,
}


def history(series: str, values: Sequence[float], *, whole: bool = True) -> History:
    return History(series, ORIGIN - timedelta(days=len(values)), values, whole)


def usual(count: int, days: int = 120, seed: int = 1) -> list[History]:
    """Poisson demand with a busy weekend."""
    chance = np.random.default_rng(seed)
    week = np.array([1.0, 1, 1, 1, 1.5, 2, 2])
    levels = np.exp(chance.normal(0.5, 1, count))
    return [
        history(f"usual {number}", chance.poisson(level * np.resize(week, days)).astype(float).tolist())
        for number, level in enumerate(levels)
    ]


def assert_sound(outcome: Outcome, horizon: int = HORIZON) -> None:
    assert len(outcome.fan.mean) == horizon
    assert min(outcome.fan.mean) >= 0
    for rows in (outcome.fan.quantiles, outcome.fan.cumulative):
        table = np.array(rows)
        assert table.shape == (len(QUANTILES), horizon)
        assert np.isfinite(table).all()
        assert (table >= 0).all()
        assert (np.diff(table, axis=0) >= 0).all(), "quantiles cross"
    assert (np.diff(np.array(outcome.fan.cumulative), axis=1) >= 0).all()
    assert [row[0] for row in outcome.fan.cumulative] == [row[0] for row in outcome.fan.quantiles]


@pytest.mark.parametrize("level", ["cheap", "full"])
def test_strange_series_get_an_answer_in_order(level: Literal["cheap", "full"]) -> None:
    histories = [history(name, values) for name, values in STRANGE.items()]
    outcomes = forecast(Task(ORIGIN, HORIZON, histories, level))
    assert [each.series for each in outcomes] == list(STRANGE)
    for each in outcomes:
        assert_sound(each)
    found = {each.series: each for each in outcomes}
    for name in ("empty", "all zero", "all unknown"):
        assert (found[name].demand_class, sum(found[name].fan.mean)) == ("none", 0)
        assert found[name].why == "No demand is known before the origin."
    assert found["first sale yesterday"].why == "Only 1 day of demand is known: too few to fit a model."
    assert found["constant"].why is None
    assert found["constant"].fan.mean == pytest.approx([5] * HORIZON)


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_series_alone_gets_an_answer(name: str) -> None:
    (outcome,) = forecast(Task(ORIGIN, HORIZON, [history(name, STRANGE[name])], "cheap"))
    assert_sound(outcome)


def test_no_series_give_no_outcomes() -> None:
    assert forecast(Task(ORIGIN, HORIZON, [])) == []


def test_a_model_that_raises_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(panel: Panel) -> Array:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(full, "FULL", [*CHEAP, Model("broken", fail)])
    for outcome in forecast(Task(ORIGIN, HORIZON, usual(3))):
        assert_sound(outcome)
        assert "broken" not in outcome.model
        assert "broken" not in outcome.scores
    assert "model broken failed on 3 series" in caplog.text


def test_the_same_task_gives_the_same_bytes() -> None:
    task = Task(ORIGIN, HORIZON, usual(3))
    assert repr(forecast(task)) == repr(forecast(pickle.loads(pickle.dumps(task))))


def test_closed_days_are_zero_and_not_learnt_from() -> None:
    closed = {ORIGIN + timedelta(days=3), ORIGIN - timedelta(days=7)}
    quiet = usual(4)
    tainted = [replace(each, values=[*each.values[:-7], 1e6, *each.values[-6:]]) for each in quiet]
    task = Task(ORIGIN, HORIZON, quiet, "cheap", frozenset(closed))
    outcomes = forecast(task)
    assert repr(forecast(replace(task, histories=tainted))) == repr(outcomes)
    for each in outcomes:
        assert each.fan.mean[3] == 0
        assert [row[3] for row in each.fan.quantiles] == [0] * len(QUANTILES)
        assert [row[3] for row in each.fan.cumulative] == [row[2] for row in each.fan.cumulative]


def test_only_whole_units_are_rounded() -> None:
    values = [0.4, 1.7, 0.9, 2.2, 0.3] * 30
    parts, whole = forecast(
        Task(ORIGIN, HORIZON, [history("kg", values, whole=False), history("pieces", values)], "cheap")
    )
    assert all(value == round(value) for row in whole.fan.quantiles for value in row)
    assert any(value != round(value) for row in parts.fan.quantiles for value in row)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.5, 1e9, 0.001, NAN]), max_size=80), max_size=5),
    st.integers(1, 40),
)
def test_any_histories_get_sound_forecasts(rows: list[list[float]], horizon: int) -> None:
    outcomes = forecast(Task(ORIGIN, horizon, [history(str(n), row) for n, row in enumerate(rows)], "cheap"))
    assert [each.series for each in outcomes] == [str(n) for n in range(len(rows))]
    for each in outcomes:
        assert_sound(each, horizon)
    assert all(left.series != right.series for left, right in pairwise(outcomes))
