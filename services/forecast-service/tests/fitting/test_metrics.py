"""Check values are computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_service.fitting import metrics
from forecast_service.fitting.classes import classify

PAST = np.array([[1.0, 2.0, 3.0, 5.0]])
ACTUAL = np.array([[4.0, 0.0, np.nan]])
MEAN = np.array([[2.0, 1.0, 9.0]])


def test_scales_are_errors_of_naive_forecasts() -> None:
    absolute, squared = metrics.naive_scales(PAST, 2)
    assert absolute == pytest.approx([(2 + 3) / 2])  # 3 - 1 and 5 - 2
    assert squared == pytest.approx([((1 + 1 + 4) / 3) ** 0.5])


def test_a_short_past_has_no_seasonal_scale() -> None:
    absolute, squared = metrics.naive_scales(PAST, 7)
    assert np.isnan(absolute).all()
    assert np.isfinite(squared).all()


def test_a_constant_past_has_no_scale() -> None:
    for scale in metrics.naive_scales(np.ones((1, 9)), 1):
        assert np.isnan(scale).all()


def test_errors_count_only_known_days() -> None:
    assert metrics.mase(ACTUAL, MEAN, np.array([2.0])) == pytest.approx([0.75])
    assert metrics.rmsse(ACTUAL, MEAN, np.array([2.0])) == pytest.approx([2.5**0.5 / 2])
    assert metrics.wape(ACTUAL, MEAN) == pytest.approx(3 / 4)
    assert metrics.bias(ACTUAL, MEAN) == pytest.approx(-1 / 4)


def test_pinball_weighs_misses_by_tau() -> None:
    loss = metrics.pinball(np.array([10.0, 0.0]), np.array([8.0, 8.0]), 0.9)
    assert loss == pytest.approx([1.8, 0.8])


def test_coverage_of_ties_is_an_interval() -> None:
    covered = metrics.coverage(np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(4))
    assert covered == (0.0, 0.75)
    assert metrics.off(0.5, covered) == 0
    assert metrics.off(0.9, covered) == pytest.approx(-0.15)
    assert metrics.off(0.5, (0.7, 0.8)) == pytest.approx(0.2)


def test_smape_and_owa_are_those_of_m4() -> None:
    assert metrics.smape(np.array([[100.0, 0.0]]), np.array([[50.0, 0.0]])) == pytest.approx([200 * 50 / 150 / 2])
    assert metrics.owa(10, 1.5, 20, 2) == pytest.approx((0.5 + 0.75) / 2)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9, 0.98]))
def test_the_empirical_quantile_is_covered(values: list[float], tau: float) -> None:
    actual = np.array(values)
    quantile = np.full(len(values), np.quantile(actual, tau, method="inverted_cdf"))
    assert metrics.off(tau, metrics.coverage(actual, quantile)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 1, 2], "smooth"),
        ([1, 1, 1, 9], "erratic"),
        ([1, 0, 1, 0], "intermittent"),
        ([1, 0, 1, 0, 1, 0, 9, 0], "lumpy"),
        ([0, 0], "none"),
        ([], "none"),
        ([float("nan"), 3, float("nan"), 3], "smooth"),
        ([1] * 25 + [0] * 8, "intermittent"),  # the interval is 33 / 25 = 1.32, on the limit
        ([1] * 26 + [0] * 8, "smooth"),
        ([3, 17], "erratic"),  # the variation is (7 / 10)² = 0.49, on the limit
        ([3.01, 17], "smooth"),
    ],
)
def test_classes_follow_interval_and_variation(values: list[float], expected: str) -> None:
    assert classify(np.array(values, dtype=float)) == expected
