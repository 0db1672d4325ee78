"""Series of known truth: a new item gets the shape of others, a successor their level, and forecasts begin on time."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_service.fitting.series import History, Outcome, Task
from forecast_service.fitting.work import forecast
from forecast_service.introductions.model import Base, Carried, Category, Introduction, carry, like_category, shaped
from forecast_service.runs.model import fallback, usable

ORIGIN = date(2026, 3, 9)  # a Monday
HORIZON = 28
WEEK = (4, 5, 6, 8, 12, 20, 15)


def weekly(name: str, days: int, level: float = 1.0, *, seed: int = 0) -> History:
    """Return a history with the weekdays of WEEK, times `level`, and noise."""
    draw, start = random.Random(seed), ORIGIN - timedelta(days=days)
    week = [WEEK[(start + timedelta(days=n)).weekday()] for n in range(days)]
    return History(name, start, [round(level * each * draw.uniform(0.8, 1.2)) for each in week])


def made(carried: Carried) -> Outcome:
    (outcome,) = forecast(Task(ORIGIN, HORIZON, [carried.history], "cheap"))
    return shaped(outcome, carried)


def like(*bases: tuple[str, float], **stated: object) -> Introduction:
    return replace(Introduction("new", tuple(Base(*each) for each in bases), False), **stated)  # type: ignore[arg-type]


def close(mean: Sequence[float], level: float) -> bool:
    expected = [level * WEEK[n % 7] for n in range(len(mean))]
    return all(abs(got - want) < 0.2 * want for got, want in zip(mean, expected, strict=True))


def test_new_item_gets_the_shape_of_those_it_is_like() -> None:
    bases = [weekly("a", 200, 10, seed=1), weekly("b", 150, 30, seed=2)]
    stated = like(("a", 0.5), ("b", 0.5), scale=0.5)
    outcome = made(carry(History("new", ORIGIN, []), stated, bases, ORIGIN, HORIZON))
    assert close(outcome.fan.mean, 10)  # half of 20
    assert usable(outcome, HORIZON)


def test_forecast_like_several_is_as_wide_as_theirs() -> None:
    bases = [weekly(str(seed), 200, 10, seed=seed) for seed in range(8)]
    single = made(carry(History("new", ORIGIN, []), like(("0", 1.0)), bases[:1], ORIGIN, HORIZON))
    many = like(*((str(seed), 1 / 8) for seed in range(8)))
    outcome = made(carry(History("new", ORIGIN, []), many, bases, ORIGIN, HORIZON))
    widths = [each.fan.quantiles[2][0] - each.fan.quantiles[0][0] for each in (single, outcome)]
    assert 0.6 * widths[0] < widths[1] < 1.6 * widths[0]


def test_successor_continues_the_level() -> None:
    stated = Introduction("new", (Base("old", 1.0),), True)
    own = weekly("new", 5, 20, seed=3)
    carried = carry(own, stated, [weekly("old", 200, 20, seed=4)], ORIGIN, HORIZON)
    assert (len(carried.history.values), carried.history.values[-5:]) == (200, own.values)
    assert close(made(carried).fan.mean, 20)
    alone = made(Carried(own))
    assert not close(alone.fan.mean, 20)  # five days have no weekdays


def test_demand_before_the_start_is_zero_and_grows_in_the_ramp() -> None:
    stated = like(("a", 1.0), start=ORIGIN + timedelta(days=7), ramp_days=14)
    outcome = made(carry(History("new", ORIGIN, []), stated, [weekly("a", 200, 14)], ORIGIN, HORIZON))
    mean = outcome.fan.mean
    assert mean[:7] == [0] * 7 and all(row[:7] == [0] * 7 for row in (*outcome.fan.quantiles, *outcome.fan.cumulative))
    assert close([value * 14 / min(14, n + 1) for n, value in enumerate(mean[7:])], 14)
    assert usable(outcome, HORIZON)


def test_own_demand_replaces_the_shape_as_the_ramp_goes_on() -> None:
    start = ORIGIN - timedelta(days=7)
    own = History("new", start, [0.0] * 7)  # nobody wants it
    stated = like(("a", 1.0), start=start, ramp_days=14)
    carried = carry(own, stated, [weekly("a", 200, 14)], ORIGIN, HORIZON)
    base = weekly("a", 200, 14).values[-7:]
    assert carried.history.values[-7:] == pytest.approx([value * (13 - n) / 14 for n, value in enumerate(base)])
    assert carried.factors[:7] == pytest.approx([(8 + n) / 14 for n in range(7)])


def test_few_days_of_an_item_get_the_weekdays_of_its_category() -> None:
    category = Category([float(5_000 * each) for each in WEEK], 500)  # 90 a week and item
    own = weekly("new", 5, 10)  # the busy end of a week
    outcome = made(like_category(own, category, ORIGIN, HORIZON))
    assert outcome.model == "average" and close(outcome.fan.mean, 10) and usable(outcome, HORIZON)
    assert made(like_category(own, Category([0.0] * 7, 1), ORIGIN, HORIZON)) == made(Carried(own))
    long = weekly("new", 100, 10)
    shaped_long = like_category(long, Category(category.sold[::-1], 500), ORIGIN, HORIZON)
    assert made(shaped_long) == made(Carried(long))  # it has its own


def test_first_day_of_a_new_item_is_no_level() -> None:
    """Each item sold on its first day: one that sold 9 on that day, and nothing in ten days, sells seldom."""
    own = History("new", ORIGIN - timedelta(days=11), [9.0, *[0.0] * 10])
    category = Category([800.0] * 7, 100)  # one a day and item
    assert made(like_category(own, category, ORIGIN, HORIZON)).fan.mean == pytest.approx([1 / 11] * HORIZON)


histories = st.lists(st.integers(0, 50), max_size=40).map(
    lambda values: History("x", ORIGIN - timedelta(days=len(values)), [float(each) for each in values])
)


@given(
    own=histories,
    bases=st.lists(histories, min_size=1, max_size=4),
    start=st.none() | st.integers(-50, 50),
    ramp=st.integers(0, 60),
    scale=st.floats(0.01, 100),
    whole=st.booleans(),
)
def test_shaped_forecasts_stay_usable(
    own: History, bases: list[History], start: int | None, ramp: int, scale: float, whole: bool
) -> None:
    names = [(str(n), 1 / len(bases)) for n in range(len(bases))]
    first = None if start is None else ORIGIN + timedelta(days=start)
    stated = like(*names, scale=scale, start=first, ramp_days=ramp)
    carried = carry(replace(own, whole=whole), stated, bases, ORIGIN, HORIZON)
    assert len(carried.history.values) == (ORIGIN - carried.history.start).days
    assert all(value >= 0 for value in carried.history.values)
    outcome = shaped(fallback(carried.history, HORIZON, ""), carried)
    assert usable(outcome, HORIZON)
    assert all(value == 0 for value, factor in zip(outcome.fan.mean, carried.factors, strict=True) if factor == 0)
