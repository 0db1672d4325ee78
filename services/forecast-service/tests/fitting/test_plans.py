"""Drivers that become known: no origin sees more than it knew, and their effects are found."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_service.calendar.model import Calendar
from forecast_service.fitting import full, models, portfolio
from forecast_service.fitting.classes import classify
from forecast_service.fitting.full import FULL
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import Model
from forecast_service.fitting.panel import Panel
from forecast_service.fitting.plans import Plans
from forecast_service.fitting.series import History, Plan, Task
from forecast_service.fitting.work import forecast
from forecast_service.hierarchy.model import ItemForecast
from forecast_service.runs import structure

ORIGIN: Final = date(2026, 3, 2)
NOW: Final = ORIGIN.toordinal()
HORIZON: Final = 14
CUT: Final = 21
DRIVEN: Final = [model for model in FULL if model.driven]
QUICK: Final = [model for model in FULL if not model.costly and model.name != "lightgbm"]
NAMES: Final = {model.name: model for model in FULL}


def histories(values: Array, plans: Sequence[Plan], origin: date = ORIGIN) -> list[History]:
    start = origin - timedelta(days=values.shape[1])
    return [History(str(number), start, row.tolist(), plans=plans) for number, row in enumerate(values)]


def poisson(means: npt.NDArray[Any], series: int = 8) -> Array:
    """Draw demand with a busy weekend, for series of levels from 5 to 40."""
    chance = np.random.default_rng(5)
    levels = np.linspace(5, 40, series)[:, None] * np.resize([1.0, 1, 1, 1, 1.3, 1.6, 1.4], means.size)
    return np.asarray(chance.poisson(levels * means), dtype=float)


def weeks(days: int, name: str = "promotion", *, known: int = 0) -> list[Plan]:
    """Plan a driver for three days in every other week, also after the origin."""
    starts = range(NOW - days, NOW + HORIZON, 14)
    return [Plan(name, start + 2, start + 4, 1.0, known) for start in starts]


def on(plans: Sequence[Plan], days: int) -> npt.NDArray[np.bool_]:
    """Return (days + HORIZON,) of the days that have a plan."""
    planned = {day for each in plans for day in range(each.first, (each.last or each.first) + 1)}
    return np.array([day in planned for day in range(NOW - days, NOW + HORIZON)])


def panel(plans: Sequence[Plan], days: int = 210) -> Panel:
    """Demand doubles on the days of a promotion."""
    means = 1.0 + on(weeks(days), days)[:days]
    return Panel.of(Task(ORIGIN, HORIZON, histories(poisson(means, 12), plans)))


def both(model: Model, left: Panel, right: Panel) -> tuple[bytes, bytes]:
    rows = range(2 if model.costly else len(left))
    found = [models.forecast(model, each.take(rows), np.ones(len(rows), dtype=bool)) for each in (left, right)]
    assert np.isfinite(found[0]).all(), "the model has forecast something"
    return found[0].tobytes(), found[1].tobytes()


@pytest.mark.parametrize("model", DRIVEN, ids=lambda model: model.name)
def test_plans_that_became_known_later_change_no_byte(model: Model) -> None:
    known, later = weeks(210), NOW - CUT + 1
    more = [*known, *weeks(210, "campaign", known=later), Plan("promotion", NOW, None, 0.0, later)]
    left, right = panel(known), panel(more)
    before, after = both(model, left.cut(CUT), right.cut(CUT))
    assert before == after
    now, changed = both(model, left, right)
    assert now != changed, "the plans do count as soon as they are known"


@pytest.mark.parametrize("model", DRIVEN, ids=lambda model: model.name)
def test_plans_that_were_withdrawn_count_until_then(model: Model) -> None:
    known = weeks(210)
    ended = [replace(each, ended=NOW - CUT + 1) for each in known]
    before, after = both(model, panel(known).cut(CUT), panel(ended).cut(CUT))
    assert before == after
    assert panel(ended).drivers == {}


Days = st.integers(-60, 20)
RANDOM: Final = st.builds(
    lambda name, first, length, value, known, elsewhere: Plan(
        name, NOW + first, None if length is None else NOW + first + length, value, NOW + known, None, elsewhere
    ),
    st.sampled_from(["price", "campaign", "weather"]),
    Days,
    st.none() | st.integers(0, 9),
    st.floats(-1e12, 1e12),
    Days,
    st.sampled_from(["zero", "unknown"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(RANDOM, max_size=12), st.integers(1, 50))
def test_a_cut_panel_has_the_drivers_of_its_origin(plans: list[Plan], cut: int) -> None:
    values = np.ones((2, 60))
    whole = Panel.of(Task(ORIGIN, HORIZON, histories(values, plans)))
    known = [each for each in plans if each.known <= NOW - cut]
    past = ORIGIN - timedelta(days=cut)
    then = Panel.of(Task(past, HORIZON, histories(values[:, :-cut], known, past)))
    found = whole.cut(cut).drivers
    assert found.keys() == then.drivers.keys()
    assert all(found[name].tobytes() == then.drivers[name].tobytes() for name in found)
    assert all(np.isfinite(each[:, : 60 - cut]).all() for each in found.values())


def test_models_with_unknown_drivers_do_not_compete(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = NOW + HORIZON - 2
    plans = [Plan("weather", day, day, day % 5, elsewhere="unknown") for day in range(NOW - 140, ends + 1)]
    task = Task(ORIGIN, HORIZON, histories(poisson(np.ones(140), 4), plans))
    monkeypatch.setattr(full, "FULL", QUICK)
    cold, *others = forecast(replace(task, histories=[task.histories[0], *histories(poisson(np.ones(140), 3), [])]))
    assert cold.why == "Models with drivers do not compete, because days of the horizon have no value of: weather."
    assert not any(model.name in cold.model for model in DRIVEN)
    assert [each.why for each in others] == [None] * 3
    whole = [*plans, Plan("weather", ends + 1, ends + 1, 1.0, elsewhere="unknown")]
    assert panel(whole).foreseen.all()
    assert not panel(plans).foreseen.any()


@pytest.mark.parametrize("model", DRIVEN, ids=lambda model: model.name)
def test_constant_and_collinear_drivers_do_no_harm(model: Model) -> None:
    plain = weeks(280)
    twins = [*weeks(280, "campaign"), *(replace(each, name="budget", value=5e6) for each in plain)]
    harmless = [*plain, *twins, Plan("open", 0, None, 1.0), Plan("price", 0, None, 3.0, elsewhere="unknown")]
    promoted = 1.0 + on(plain, 280)[:280]
    made = []
    for plans in (plain, harmless):
        task = Task(ORIGIN, HORIZON, histories(poisson(promoted, 4), plans))
        made.append(models.run(model, Panel.of(task)))
    assert np.isfinite(made[1]).all()
    assert np.abs(made[1] / made[0] - 1).mean() < 0.06


def forecast_mean(task: Task) -> Array:
    """Return the mean over all series of what is chosen, without the models that take a second."""
    each = Panel.of(task)
    classes = np.array([classify(row) for row in each.values])
    return np.asarray(portfolio.compete(each, classes, QUICK).means.mean(axis=0))


def test_the_effect_of_a_promotion_is_recovered() -> None:
    plans = weeks(280)
    means = np.where(on(plans, 280), 2.5, 1.0)
    task = Task(ORIGIN, HORIZON, histories(poisson(means)[:, :280], plans))
    truth = poisson(means * 1000)[:, 280:].mean(axis=0) / 1000
    assert np.abs(forecast_mean(task) / truth - 1).max() < 0.12


def test_the_elasticity_of_a_price_is_recovered() -> None:
    """Demand falls by the square of the price. A new price is a fifth lower than any other one."""
    prices = np.repeat([2.0, 2.2, 1.9, 2.4, 2.1, 1.8, 2.3, 2.0], 35)
    plans = [Plan("price", NOW - 280 + 35 * n, None, each, elsewhere="unknown") for n, each in enumerate(prices[::35])]
    for price in (2.0, 1.6):
        planned = [*plans, Plan("price", NOW, None, price, elsewhere="unknown")]
        made = models.run(
            NAMES["log_linear"], Panel.of(Task(ORIGIN, HORIZON, histories(poisson(prices**-2.0), planned)))
        )
        level = np.linspace(5, 40, 8).mean() * np.resize([1.0, 1, 1, 1, 1.3, 1.6, 1.4], HORIZON).mean()
        assert made.mean() / level == pytest.approx(price**-2.0, rel=0.1)


def test_a_holiday_that_moves_with_the_moon_is_recovered() -> None:
    """Demand triples on holidays in China. Those of the Spring Festival are other days each year."""
    origin, days = date(2026, 2, 9), 3 * 365
    start, last = origin - timedelta(days=days), origin + timedelta(days=HORIZON - 1)
    drivers = Calendar(("CN",)).drivers(start, last)
    festival = [day for day, each in Calendar(("CN",)).between(start, last).items() if "Spring Festival" in each.name]
    assert len({(day.month, day.day) for day in festival}) > 8
    means = np.ones(days + HORIZON)
    means[np.array(drivers["holiday"]) > 0] = 3.0
    task = Task(
        origin,
        HORIZON,
        [replace(each, drivers=drivers) for each in histories(poisson(means)[:, :days], [], origin)],
    )
    made = (
        forecast_mean(task)
        / np.resize([1.0, 1, 1, 1, 1.3, 1.6, 1.4], days + HORIZON)[days:]
        / np.linspace(5, 40, 8).mean()
    )
    assert made[means[days:] > 1].mean() == pytest.approx(3, rel=0.15)
    assert made[means[days:] == 1].mean() == pytest.approx(1, rel=0.1)


def test_driver_of_a_sum_is_that_of_its_parts_by_share() -> None:
    small, large = partial(Plan, part=0, share=0.25), partial(Plan, part=1, share=0.75)
    plans = Plans.of(
        [
            [
                small("promotion", NOW - 3, None, 1.0),
                small("promotion", NOW - 1, NOW - 1, 3.0),
                large("promotion", NOW - 2, NOW, 1.0, NOW - 1),
            ]
        ]
    )
    assert plans.drivers(NOW, 1, 4, 2)["promotion"].tolist() == [[0, 0.25, 1.0, 1.5, 1.0, 0.25]]
    assert plans.drivers(NOW - 2, 1, 2, 2)["promotion"].tolist() == [[0, 0.25, 0.25, 0.75]], (
        "the large one is not known"
    )
    assert plans.take([0, 0]).drivers(NOW, 2, 4, 2)["promotion"].tolist() == [[0, 0.25, 1.0, 1.5, 1.0, 0.25]] * 2


def test_sums_have_the_promotions_of_their_items() -> None:
    items = [
        ItemForecast(UUID(int=number), category, [mean] * HORIZON, 1.0)
        for number, category, mean in ((1, "beer", 1.0), (2, "wine", 2.0), (3, "beer", 3.0))
    ]
    promotion, price = Plan("promotion", NOW, NOW, 1.0), Plan("price", NOW - 9, None, 2.5, elsewhere="unknown")
    planned = {str(each.series): [promotion, price] for each in items}
    sums = [History(name, ORIGIN, []) for name in ("", "beer", "wine")]
    total, beer, wine = structure.with_plans(sums, items, planned)
    assert [(each.name, each.share) for each in beer.plans] == [("promotion", 0.25), ("promotion", 0.75)]
    assert ([each.share for each in wine.plans], len({each.part for each in total.plans})) == ([1.0], 3)
    assert sum(each.share for each in total.plans) == pytest.approx(1)
