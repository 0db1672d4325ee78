"""Events about the forecast demand of a series: an item, an item at a location, or an item of a region."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import Field

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
    """

    unit_of_measure: Code
    origin: date
    mean: Annotated[tuple[Expected, ...], Field(min_length=1)]
    quantiles: Annotated[tuple[ForecastQuantile, ...], Field(min_length=1)]
    model: Code
    combined: tuple[Code, ...] | None = None
    demand_class: DemandClass
    run_id: UUID


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
