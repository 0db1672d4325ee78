"""How overrides are spread, and what they make of a forecast."""

from datetime import date, timedelta
from itertools import accumulate, pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_service.fitting.series import QUANTILES, Fan
from forecast_service.overrides.model import (
    MOST,
    InForce,
    InvalidOverride,
    Kind,
    Level,
    Terms,
    apply,
    in_order,
    shares,
)

ORIGIN = date(2026, 3, 11)
HORIZON = 10
LEVELS = st.sampled_from(["item", "category", "total"])
quantities = st.integers(-MOST, MOST)
demand = st.floats(0, 1e6) | st.just(0.0)
days = st.integers(0, HORIZON - 1)


def day(number: int) -> date:
    return ORIGIN + timedelta(days=number)


def override(
    kind: Kind,
    value: float,
    first: int,
    last: int,
    level: Level = "item",
    daily: list[float] | None = None,
    id: int = 1,
) -> InForce:
    terms = Terms(kind, value, day(first), day(last))
    return InForce(UUID(int=id), level, terms, daily)


def fan(means: list[float]) -> Fan:
    sums = list(accumulate(means))
    factors = [0.5 + level for level in QUANTILES]
    return Fan(
        means,
        [[float(round(mean * factor)) for mean in means] for factor in factors],
        [[float(round(total * factor)) for total in sums] for factor in factors],
    )


@given(quantity=quantities, weights=st.lists(demand, min_size=1, max_size=50))
def test_shares_add_up_exactly(quantity: int, weights: list[float]) -> None:
    parts = shares(quantity, weights)
    assert sum(parts) == quantity
    assert all(part * quantity >= 0 for part in parts)
    total = sum(weights)
    if total > 1:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - quantity * weight / total) <= 1 + abs(quantity) * len(weights) * 1e-6


def test_shares_follow_the_largest_remainders() -> None:
    assert shares(10, [1.0, 1.0, 1.0]) == [4, 3, 3]
    assert shares(10, [0.0, 3.0, 7.0]) == [0, 3, 7]
    assert shares(-7, [1.0, 2.0]) == [-2, -5]
    assert shares(5, [0.0, 0.0, 0.0]) == [2, 2, 1]  # nothing is forecast: equal parts


@given(
    means=st.lists(demand, min_size=HORIZON, max_size=HORIZON),
    changes=st.lists(
        st.tuples(st.sampled_from(["absolute", "percent", "add"]), LEVELS, st.integers(-100, 10**6), days, days),
        max_size=4,
    ),
    whole=st.booleans(),
)
def test_forecast_stays_coherent_after_any_overrides(
    means: list[float], changes: list[tuple[Kind, Level, int, int, int]], whole: bool
) -> None:
    given_ = []
    for number, (kind, level, value, one, other) in enumerate(changes):
        first, last = min(one, other), max(one, other)
        value = abs(value) if kind == "absolute" else value
        terms = Terms(kind, value, day(first), day(last))
        (daily,) = terms.spread([means[first : last + 1]])
        given_.append(InForce(UUID(int=number), level, terms, daily))
    model = fan(means)
    found = apply(model, ORIGIN, in_order(given_, ORIGIN, HORIZON), whole=whole)
    assert len(found.mean) == HORIZON and all(mean >= 0 for mean in found.mean)
    for rows in (found.quantiles, found.cumulative):
        for lower, upper in pairwise(rows):
            assert all(low <= high for low, high in zip(lower, upper, strict=True))
        assert all(value >= 0 and (not whole or value == int(value)) for row in rows for value in row)
    assert all(one <= next_ for row in found.cumulative for one, next_ in pairwise(row))
    untouched = min([(each.terms.first_day - ORIGIN).days for each in given_], default=HORIZON)
    assert found.mean[:untouched] == model.mean[:untouched]
    for rows, models in ((found.quantiles, model.quantiles), (found.cumulative, model.cumulative)):
        assert [row[:untouched] for row in rows] == [row[:untouched] for row in models]


@given(
    forecasts=st.lists(st.lists(demand, min_size=3, max_size=3), min_size=1, max_size=20),
    value=st.integers(0, 10**9),
)
def test_published_sum_is_the_absolute_value(forecasts: list[list[float]], value: int) -> None:
    terms = Terms("absolute", value, day(2), day(4))
    total = 0.0
    for means, daily in zip(forecasts, terms.spread(forecasts), strict=True):
        assert daily is not None
        model = fan([5.0, 5.0, *means, 5.0])
        total += sum(apply(model, ORIGIN, [override("absolute", value, 2, 4, daily=daily)], whole=True).mean[2:5])
    assert total == pytest.approx(value)


def test_total_category_and_item_apply_in_this_order() -> None:
    all_ = override("absolute", 40, 0, 1, "total", [20.0, 20.0], id=1)
    category = override("percent", 50, 1, 2, "category", id=2)
    item = override("add", 5, 1, 1, "item", [5.0], id=3)
    model = fan([10.0, 10.0, 10.0])
    applied = in_order([item, category, all_], ORIGIN, 3)
    assert [each.level for each in applied] == ["total", "category", "item"]
    assert apply(model, ORIGIN, applied, whole=True).mean == [20.0, 35.0, 15.0]


def test_quantiles_move_with_the_mean() -> None:
    model = Fan([4.0], [[1.0], [4.0], [7.0], [8.0], [10.0]], [[1.0], [4.0], [7.0], [8.0], [10.0]])
    found = apply(model, ORIGIN, [override("percent", 300, 0, 0)], whole=True)
    assert found.quantiles == [[10.0], [16.0], [22.0], [24.0], [28.0]]  # twice as far from four times the mean
    assert found.cumulative == found.quantiles
    nothing = apply(model, ORIGIN, [override("percent", -100, 0, 0)], whole=True)
    assert nothing == Fan([0.0], [[0.0]] * 5, [[0.0]] * 5)


def test_forecast_of_nothing_gets_the_spread_of_counts() -> None:
    model = Fan([0.0], [[0.0]] * 5, [[0.0]] * 5)
    found = apply(model, ORIGIN, [override("absolute", 100, 0, 0, daily=[100.0])], whole=True)
    assert found.quantiles == [[87.0], [100.0], [113.0], [116.0], [121.0]]


def test_override_of_other_days_changes_nothing() -> None:
    over = [override("percent", 50, -5, -1), override("percent", 50, HORIZON, HORIZON + 3)]
    assert in_order(over, ORIGIN, HORIZON) == []


@pytest.mark.parametrize(
    ("kind", "value", "first", "last", "field"),
    [
        ("absolute", -1, 0, 1, "value"),
        ("absolute", 1.5, 0, 1, "value"),
        ("add", 0.5, 0, 1, "value"),
        ("add", 0, 0, 1, "value"),
        ("percent", -100.1, 0, 1, "value"),
        ("percent", 10_001, 0, 1, "value"),
        ("percent", 0, 0, 1, "value"),
        ("percent", 5, 1, 0, "last_day"),
    ],
)
def test_impossible_terms_are_refused(kind: Kind, value: float, first: int, last: int, field: str) -> None:
    with pytest.raises(InvalidOverride) as error:
        Terms(kind, value, day(first), day(last)).check()
    assert error.value.errors[0]["pointer"] == f"/{field}"
