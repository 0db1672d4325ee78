"""Events about the forecast demand of a series: an item, an item at a location, or an item of a region."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic, Value

Expected = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A quantity in base units of the item. It is not exact, so it is a number and not a decimal string."""
DemandClass = Annotated[Code, OpenEnum("smooth", "erratic", "intermittent", "lumpy", "none")]


class ForecastQuantile(Value):
    """With the probability `level`, demand is at most this: on each day, and in the first 1, 2, … days together.

    Quantiles of sums are not sums of quantiles. Plan stock on `cumulative`: its n-th value is for n days of lead time.
    """

    level: Annotated[float, Field(gt=0, lt=1)]
    daily: tuple[Expected, ...]
    cumulative: tuple[Expected, ...]


class ForecastEvent(Event, topic=Topic("crossdock.forecasts.v1", key="series_id", owner="forecast-service")):
    """Sent by forecast-service only. A series without location and region is of the whole item.

    `region` is a country such as `US`, or a region of it such as `US-OR`.
    """

    series_id: UUID
    item_id: Identifier
    location_id: Identifier | None = None
    region: Annotated[str, Field(min_length=2, max_length=64)] | None = None


class ForecastUpdated(ForecastEvent, type="crossdock.ForecastUpdated.v1", carries="state", stability="draft"):
    """The demand that is expected from `origin` on, day by day. The latest sequence overwrites earlier ones.

    It is sent if the forecast has moved, and at least once in 7 days. `mean` and each quantile have a value for each
    day of the horizon. Demand is what customers ask for, whether or not it can be served.
    `combined` names the best models of a combination.

    If planners have overridden the forecast, `overrides` has the ids in the order in which they apply. `mean` and
    `quantiles` then include them, and `model_mean` does not.
    """

    unit_of_measure: Code
    origin: date
    mean: Annotated[tuple[Expected, ...], Field(min_length=1)]
    quantiles: Annotated[tuple[ForecastQuantile, ...], Field(min_length=1)]
    model: Code
    combined: tuple[Code, ...] | None = None
    demand_class: DemandClass
    run_id: UUID
    overrides: Annotated[tuple[UUID, ...], Field(min_length=1)] | None = None
    model_mean: Annotated[tuple[Expected, ...], Field(min_length=1)] | None = None


class ModelChanged(ForecastEvent, type="crossdock.ModelChanged.v1", carries="change", stability="draft"):
    """Another model forecasts a series from now on, because it was clearly better on the past.

    Models are chosen each week (`weekly`), when errors are larger than they were on the past (`drift`), and when a
    person asks for it (`requested`). The errors are those of both in the same backtest, as multiples of the error of
    seasonal naive. `ForecastUpdated` with the new model follows.
    """

    origin: date
    run_id: UUID
    model: Code
    combined: tuple[Code, ...] | None = None
    earlier_model: Code
    earlier_combined: tuple[Code, ...] | None = None
    reason: Annotated[Code, OpenEnum("weekly", "drift", "requested")]
    error: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    earlier_error: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ForecastOverrideEvent(
    Event, topic=Topic("crossdock.forecast-overrides.v1", key="override_id", owner="forecast-service")
):
    """Sent by forecast-service only. An override replaces or changes the forecast of some days."""

    override_id: UUID


class ForecastOverridden(
    ForecastOverrideEvent, type="crossdock.ForecastOverridden.v1", carries="state", stability="draft"
):
    """A planner has overridden the forecast of an item, a category or all items. The latest sequence is its state.

    `absolute` is the sum of the days from `first_day` to `last_day`, and `add` is added to this sum; both are in base
    units. `percent` changes each day. A category and a total are spread over `series` series by their forecasts. Each
    series then gets its own `ForecastUpdated`. With a `location_id` it is of the series there alone. The status is
    `expired` if `expires_at` has passed.
    """

    level: Literal["item", "category", "total"]
    item_id: Identifier | None = None
    category: Identifier | None = None
    location_id: Identifier | None = None
    kind: Literal["absolute", "percent", "add"]
    value: Annotated[float, Field(allow_inf_nan=False)]
    first_day: date
    last_day: date
    expires_at: AwareDatetime | None = None
    series: Annotated[int, Field(ge=1)]
    status: Annotated[Code, OpenEnum("in_force", "withdrawn", "expired")]


class ForecastAccuracyEvent(
    Event, topic=Topic("crossdock.forecast-accuracy.v1", key="series_id", owner="forecast-service")
):
    """Sent by forecast-service only, once the demand of a day is whole."""

    series_id: UUID
    item_id: Identifier
    location_id: Identifier | None = None
    region: Annotated[str, Field(min_length=2, max_length=64)] | None = None


class ForecastAtLag(Value):
    """What was published for a day at least `lag` days ahead, as a mean.

    `model` is the mean without overrides. `naive` is the demand of the last day with the same weekday that was known.
    """

    lag: Annotated[int, Field(ge=1)]
    forecast: Expected
    model: Expected
    naive: Expected


class ForecastAccuracyMeasured(
    ForecastAccuracyEvent, type="crossdock.ForecastAccuracyMeasured.v1", carries="change", stability="draft"
):
    """The demand of a day is whole, and is compared with what was forecast 1, 7 and 28 days ahead.

    It is sent once for each day and series that had a forecast for it. A day on which the item was out of stock is left
    out, because more may have been wanted. A lag without a forecast is left out too. The error is the forecast minus
    `actual`. Late orders do not change it.
    """

    day: date
    unit_of_measure: Code
    actual: Expected
    lags: Annotated[tuple[ForecastAtLag, ...], Field(min_length=1)]


class ForecastBiasDetected(
    ForecastAccuracyEvent, type="crossdock.ForecastBiasDetected.v1", carries="state", stability="draft"
):
    """The forecasts of a series have begun or ceased to be on one side of its demand. Sent on a change only.

    `over` means that too much is forecast one day ahead. The tracking signal is the sum of the errors of the last
    `days` days, divided by their mean absolute value and the root of `days`. It is raised above 4, and cleared
    (`none`) below 2.
    """

    day: date
    direction: Annotated[Code, OpenEnum("over", "under", "none")]
    tracking_signal: Annotated[float, Field(allow_inf_nan=False)]
    days: Annotated[int, Field(ge=1)]


class DemandOutlierDetected(ForecastEvent, type="crossdock.DemandOutlierDetected.v1", stability="draft"):
    """The demand of a day was far from usual, and neither a plan nor the days around it explain it.

    It is sent once for a day of a series. Forecasts learn `usual` from that day until a person undoes this.
    """

    unit_of_measure: Code
    day: date
    demand: Expected
    usual: Expected
    run_id: UUID
