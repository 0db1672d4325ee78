"""Forecasts, and the judgement of them."""

from datetime import UTC, date, datetime
from uuid import UUID

from crossdock_events.examples.story import BEGIN, Example, fact, uuid7
from crossdock_events.forecasts import (
    DemandOutlierDetected,
    ForecastAccuracyMeasured,
    ForecastAtLag,
    ForecastBiasDetected,
    ForecastOverridden,
    ForecastQuantile,
    ForecastUpdated,
    ModelChanged,
)

_forecast = fact(
    52,
    1,
    ForecastUpdated(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        unit_of_measure="each",
        origin=date(2026, 3, 3),
        mean=(4.2, 3.9, 4.6),
        quantiles=(
            ForecastQuantile(level=0.5, daily=(4.0, 4.0, 4.0), cumulative=(4.0, 8.0, 12.0)),
            ForecastQuantile(level=0.9, daily=(8.0, 7.0, 8.0), cumulative=(8.0, 13.0, 18.0)),
        ),
        model="median",
        combined=("theta", "ets", "ridge"),
        demand_class="smooth",
        run_id=uuid7(BEGIN, 2052),
    ),
)
_forecast_of_place = fact(
    53,
    7,
    ForecastUpdated(
        series_id=UUID("9d8a4b52-08b5-5f43-a7b1-7b0f0c2a9e40"),
        item_id="SKU-10042",
        location_id="dc-north",
        region="US-OR",
        unit_of_measure="each",
        origin=date(2026, 3, 3),
        mean=(0.2,),
        quantiles=(ForecastQuantile(level=0.9, daily=(1.0,), cumulative=(1.0,)),),
        model="seasonal_naive",
        demand_class="intermittent",
        run_id=uuid7(BEGIN, 2052),
    ),
)
_outlier = fact(
    97,
    2,
    DemandOutlierDetected(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        unit_of_measure="each",
        day=date(2026, 3, 2),
        demand=120.0,
        usual=4.0,
        run_id=uuid7(BEGIN, 2052),
    ),
)
_model_changed = fact(
    54,
    8,
    ModelChanged(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        origin=date(2026, 3, 10),
        run_id=uuid7(BEGIN, 2061),
        model="weighted",
        combined=("dynamic_theta", "ridge"),
        earlier_model="seasonal_average",
        reason="weekly",
        error=0.71,
        earlier_error=0.78,
    ),
)
_overridden_forecast = fact(
    90,
    8,
    ForecastUpdated(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        unit_of_measure="each",
        origin=date(2026, 3, 3),
        mean=(8.0, 4.0),
        quantiles=(ForecastQuantile(level=0.9, daily=(13.0, 8.0), cumulative=(13.0, 19.0)),),
        model="theta",
        demand_class="smooth",
        run_id=uuid7(BEGIN, 2052),
        overrides=(uuid7(BEGIN, 2053),),
        model_mean=(4.0, 4.0),
    ),
)
_override_of_item = fact(
    91,
    1,
    ForecastOverridden(
        override_id=uuid7(BEGIN, 2053),
        level="item",
        item_id="SKU-10042",
        kind="percent",
        value=100.0,
        first_day=date(2026, 3, 3),
        last_day=date(2026, 3, 3),
        series=1,
        status="in_force",
    ),
)
_override_of_category = fact(
    92,
    2,
    ForecastOverridden(
        override_id=uuid7(BEGIN, 2054),
        level="category",
        category="household",
        location_id="berlin",
        kind="absolute",
        value=1200.0,
        first_day=date(2026, 3, 9),
        last_day=date(2026, 3, 15),
        expires_at=datetime(2026, 3, 8, tzinfo=UTC),
        series=40,
        status="withdrawn",
    ),
)
_measured_forecast = fact(
    93,
    31,
    ForecastAccuracyMeasured(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        day=date(2026, 3, 3),
        unit_of_measure="each",
        actual=7.0,
        lags=(
            ForecastAtLag(lag=1, forecast=8.0, model=4.2, naive=5.0),
            ForecastAtLag(lag=7, forecast=3.9, model=3.9, naive=4.0),
        ),
    ),
)
_measured_in_region = fact(
    94,
    1,
    ForecastAccuracyMeasured(
        series_id=UUID("9d8a4b52-08b5-5f43-a7b1-7b0f0c2a9e40"),
        item_id="SKU-10042",
        region="US-OR",
        day=date(2026, 3, 3),
        unit_of_measure="each",
        actual=0.0,
        lags=(ForecastAtLag(lag=1, forecast=0.2, model=0.2, naive=0.0),),
    ),
)
_biased = fact(
    95,
    32,
    ForecastBiasDetected(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        day=date(2026, 3, 3),
        direction="over",
        tracking_signal=4.2,
        days=56,
    ),
)
_unbiased = fact(
    96,
    2,
    ForecastBiasDetected(
        series_id=UUID("9d8a4b52-08b5-5f43-a7b1-7b0f0c2a9e40"),
        item_id="SKU-10042",
        location_id="dc-north",
        region="US-OR",
        day=date(2026, 3, 3),
        direction="none",
        tracking_signal=-1.9,
        days=20,
    ),
)

EXAMPLES = (
    Example("of-an-item", _forecast),
    Example("of-a-place", _forecast_of_place),
    Example("far-above", _outlier),
    Example("weekly", _model_changed),
    Example("overridden", _overridden_forecast),
    Example("of-an-item", _override_of_item),
    Example("of-a-category", _override_of_category),
    Example("of-an-item", _measured_forecast),
    Example("in-a-region", _measured_in_region),
    Example("raised", _biased),
    Example("cleared", _unbiased),
)
