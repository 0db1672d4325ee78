"""Nothing after an origin changes a byte of what is forecast there."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_service.fitting import backtest, models
from forecast_service.fitting.full import FULL
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import Model
from forecast_service.fitting.panel import Panel

SERIES: Final = 16
DAYS: Final = 140
HORIZON: Final = 14
CUT: Final = 21
CHANCE: Final = np.random.default_rng(7)

CHANGES: Final[Sequence[Callable[[Array], Array]]] = (
    lambda values: CHANCE.permuted(values, axis=1),
    lambda values: values * 1000,
    lambda values: np.full_like(values, np.nan),
)


def panel(values: Array) -> Panel:
    """Every third series starts late, and some days are unknown. A driver is planned for each day."""
    closed = np.zeros(DAYS + HORIZON, dtype=bool)
    closed[[DAYS - CUT + 3, 60]] = True
    plan = np.resize([0.0, 0, 0, 1, 0], (len(values), DAYS + HORIZON))
    return Panel(values, closed, HORIZON, 740_000, drivers={"promotion": plan})


def demand(series: int = SERIES) -> Array:
    chance = np.random.default_rng(3)
    week = np.resize([1.0, 1, 1, 2, 2, 3, 3], DAYS)
    values: Array = chance.poisson(np.exp(chance.normal(0.5, 1, (series, 1))) * week).astype(float)
    values[::3, :50] = 0
    values[chance.random(values.shape) < 0.02] = np.nan
    return values


def changed(values: Array, cut: int) -> Array:
    """Change what comes after the cut: a third of the series in each way."""
    after = values.copy()
    for number, change in enumerate(CHANGES):
        after[number::3, DAYS - cut :] = change(after[number::3, DAYS - cut :])
    return after


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90))
def test_a_cut_panel_has_no_byte_of_what_came_later(cut: int) -> None:
    values = demand()
    left, right = panel(values).cut(cut), panel(changed(values, cut)).cut(cut)
    assert left.values.tobytes() == right.values.tobytes()
    assert left.filled.tobytes() == right.filled.tobytes()
    assert left.days == DAYS - cut
    assert all(driver.shape[1] == DAYS - cut + HORIZON for driver in left.drivers.values())


@pytest.mark.parametrize("model", FULL, ids=lambda model: model.name)
def test_no_model_sees_what_came_after_its_origin(model: Model) -> None:
    everywhere = np.ones(SERIES, dtype=bool)
    forecasts = []
    for values in (demand(), changed(demand(), CUT)):
        (origin,) = backtest.origins(panel(values), 1, CUT, 7)
        forecasts.append(models.forecast(model, origin.past, everywhere))
    assert np.isfinite(forecasts[0]).any(), "the model has forecast something"
    assert forecasts[0].tobytes() == forecasts[1].tobytes()


def test_planned_values_after_the_origin_are_used() -> None:
    """The counterpart: a test that passes because drivers are ignored would prove nothing."""
    values = demand()
    plan = np.resize([0.0, 0, 0, 1, 0], DAYS + HORIZON)
    values += 20 * plan[:DAYS]
    quiet = panel(values)
    promoted = Panel(values, quiet.closed, HORIZON, quiet.origin, drivers={"promotion": np.tile(plan, (SERIES, 1))})
    unplanned = np.tile(np.append(plan[:DAYS], np.zeros(HORIZON)), (SERIES, 1))
    without = Panel(values, quiet.closed, HORIZON, quiet.origin, drivers={"promotion": unplanned})
    for model in FULL:
        if model.name in ("ridge", "prophet", "lightgbm"):
            with_plan, no_plan = (models.run(model, each).mean() for each in (promoted, without))
            assert with_plan > no_plan, model.name
