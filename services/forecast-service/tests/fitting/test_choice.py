"""A choice is kept, fitted again, and replaced only by one that is clearly better."""

import pickle
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from forecast_service.fitting import choosing, full
from forecast_service.fitting.models import CHEAP
from forecast_service.fitting.series import Choice, History, Outcome, Task
from forecast_service.fitting.work import forecast

ORIGIN: Final = date(2026, 3, 2)
HORIZON: Final = 14
WEEK: Final = np.array([1.0, 1, 1, 2, 4, 9, 7])
DAYS: Final = 140

errors = st.floats(0.01, 100)


@given(before=errors, after=errors)
def test_no_two_choices_replace_each_other(before: float, after: float) -> None:
    assert not (choosing.wins(before, after) and choosing.wins(after, before))
    assert not choosing.wins(before, before)
    assert not choosing.wins(float("nan"), after) and not choosing.wins(before, float("nan"))
    assert choosing.wins(before, before * 0.97)


@given(st.lists(st.floats(-3, 3), min_size=12, max_size=12), st.floats(1e-3, 1e3))
def test_comparison_depends_on_no_unit_and_on_no_order(logs: list[float], scale: float) -> None:
    squared = np.exp(np.array(logs)).reshape(2, 2, 3)
    classes = np.array(["smooth", "smooth"])
    before, after = choosing.improved(squared, classes)
    swapped = choosing.improved(squared[:, :, [0, 2, 1]], classes)
    assert np.allclose([before, after], swapped[::-1])
    assert np.allclose(choosing.improved(np.repeat(squared[:, :, [1]], 3, axis=2), classes), 1)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full, "FULL", CHEAP)


def histories(count: int = 6) -> list[History]:
    chance = np.random.default_rng(3)
    demand = [chance.poisson((number + 1) * np.resize(WEEK, DAYS)).astype(float).tolist() for number in range(count)]
    start = ORIGIN - timedelta(days=DAYS)
    return [History(f"series {number}", start, values) for number, values in enumerate(demand)]


def task(choices: dict[str, Choice] | None = None, **changes: object) -> Task:
    return replace(Task(ORIGIN, HORIZON, histories(), choices=choices or {}), **changes)  # type: ignore[arg-type]


def chosen(outcomes: list[Outcome]) -> dict[str, Choice]:
    found = {each.series: each.choice for each in outcomes if each.choice is not None}
    assert len(found) == len(outcomes)
    return found


def test_refit_at_the_same_origin_is_the_choice_again() -> None:
    first = forecast(task())
    again = forecast(task(chosen(first), level="refit"))
    for one, other in zip(first, again, strict=True):
        assert (one.series, one.model, one.scores) == (other.series, other.model, other.scores)
        assert np.allclose(one.fan.mean, other.fan.mean, rtol=1e-3)
        for name in ("quantiles", "cumulative"):  # the stored errors are rounded, and then so are the quantiles
            assert np.abs(np.array(getattr(one.fan, name)) - getattr(other.fan, name)).max() <= 1
        assert other.choice is None


def test_refit_gives_the_same_bytes_and_follows_demand() -> None:
    choices = chosen(forecast(task()))
    once, twice = (pickle.dumps(forecast(task(choices, level="refit"))) for _ in range(2))
    assert once == twice
    doubled = [replace(each, values=[*each.values, *(2 * np.resize(WEEK, 56)).tolist()]) for each in histories()]
    higher = forecast(task(choices, level="refit", histories=doubled))
    assert higher[0].fan.mean > pickle.loads(once)[0].fan.mean


def test_choice_stays_if_no_other_is_clearly_better() -> None:
    choices = chosen(forecast(task()))
    again = forecast(task(choices))
    assert [(each.model, each.change) for each in again] == [(each.name, None) for each in choices.values()]


def test_clearly_better_choice_replaces_a_bad_one() -> None:
    first = chosen(forecast(task()))
    bad = {name: replace(each, kind="single", weights={"average": 1.0}) for name, each in first.items()}
    for outcome in forecast(task(bad)):
        assert outcome.model == first[outcome.series].name
        assert outcome.change is not None
        assert choosing.wins(outcome.change.before, outcome.change.after)


def test_slightly_worse_choice_is_kept_with_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "WIN", 1.0)  # nothing wins
    first = chosen(forecast(task()))
    bad = {name: replace(each, kind="single", weights={"average": 1.0}) for name, each in first.items()}
    kept = forecast(task(bad))
    assert {(each.model, each.change) for each in kept} == {("average", None)}
    assert {len(set(each.fan.mean)) for each in kept} == {1}  # an average has no week
    assert {tuple(each.choice.weights) for each in kept if each.choice} == {("average",)}


def test_choice_of_a_model_that_is_gone_is_made_anew() -> None:
    first = chosen(forecast(task()))
    first["series 0"] = replace(first["series 0"], kind="single", weights={"gone": 1.0})
    first["series 1"] = replace(first["series 1"], sums=[each[:3] for each in first["series 1"].sums])
    again = forecast(task(first, level="refit"))
    assert {each.series for each in again} == {each.series for each in histories()}
    assert {each.series for each in again if each.choice is not None} == {"series 0", "series 1"}


def test_stored_choice_is_small() -> None:
    (choice, *_) = chosen(forecast(task(horizon=56))).values()
    assert len(to_json(choice)) < 5_000


def test_costly_model_with_a_small_weight_is_left_out() -> None:
    """It is kept if no other model has enough weight either."""
    logs = np.log([[1.0, 1.1], [1.0, 1.0]])  # weights of 0.92 and 0.08, then of one half each
    weights = choosing.weigh(np.ones((2, 2), dtype=bool), choosing.Scores(logs, logs), np.array([False, True]))[:, 1]
    assert (weights > 0).tolist() == [[True, False], [True, True]]
    many = np.zeros((1, 11))
    assert (
        choosing.weigh(np.ones((1, 11), dtype=bool), choosing.Scores(many, many), np.ones(11, bool))[0, 1] > 0
    ).all()
