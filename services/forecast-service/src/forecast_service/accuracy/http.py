"""The accuracy of past forecasts over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query

from crossdock_chassis import INVALID, Database, Problem, Refusal, Unit, errors, provided
from forecast_service.accuracy import views
from forecast_service.accuracy.value_added import By, Question, ValueAdded, value_added
from forecast_service.accuracy.views import MOST_DAYS, Accuracy
from forecast_service.conventions import DemandDay, Id, Reader, Region
from forecast_service.places import Zones
from forecast_service.runs.request import latest_origin

LAGS: Final = 366


class NotCounted(Exception):
    """No day is wholly counted yet."""


NOT_COUNTED: Final = Problem(
    503, "demand-not-counted", "No day is counted yet; try again in a minute", headers={"Retry-After": "60"}
)
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NotCounted: NOT_COUNTED}


@dataclass(frozen=True, slots=True)
class PastForecasts:
    """The dependencies of the routes."""

    database: Database
    zones: Zones


PastForecastsDep = Annotated[PastForecasts, provided(PastForecasts)]
router = APIRouter(prefix="/v1", tags=["forecasts"])
Since = Annotated[DemandDay | None, Query(description="The first day; without it, 28 days are compared")]
Until = Annotated[DemandDay | None, Query(description="The last day; without it, the last whole day")]
Lag = Annotated[int, Query(ge=1, le=LAGS, description="Forecasts that were made at least so many days ahead")]
OfItem = Annotated[Id | None, Query(description="Only this item")]
AtLocation = Annotated[Id | None, Query(description="Of items at this location")]
InRegion = Annotated[Region | None, Query(description="Of items in this region, such as US or US-OR")]


@router.get("/accuracy", summary="Compare past forecasts with what was asked for", responses=errors(NOT_COUNTED))
async def get_accuracy(
    caller: Reader,
    past: PastForecastsDep,
    since: Since = None,
    until: Until = None,
    lag: Lag = 1,
    item_id: OfItem = None,
    location_id: AtLocation = None,
    region: InRegion = None,
) -> Accuracy:
    """Return WAPE and bias beside those of seasonal naive, and the ten items with the largest errors.

    Days on which an item was out of stock are left out, because more may have been wanted.
    """
    async with past.database.unit() as unit:
        first, last = await _days(unit, past.zones, since, until)
        zone = past.zones.zone(region or "").key
        return await views.accuracy(unit.sql, first, last, lag, item_id, location_id or "", region or "", zone)


@router.get(
    "/value-added", summary="Show what models and planners add to seasonal naive", responses=errors(NOT_COUNTED)
)
async def get_value_added(
    caller: Reader,
    past: PastForecastsDep,
    since: Since = None,
    until: Until = None,
    lag: Lag = 1,
    by: Annotated[By, Query(description="Also show each category or item")] = "total",
    item_id: OfItem = None,
    category: Annotated[Id | None, Query(description="Only items of this category")] = None,
    location_id: AtLocation = None,
    region: InRegion = None,
    limit: Annotated[int, Query(ge=1, le=200, description="The most groups")] = 50,
) -> ValueAdded:
    """Return the sums of absolute errors of naive, of the model, and of what was published with overrides.

    Days on which an item was out of stock are left out. Money is at the last known price of each item.
    """
    async with past.database.unit() as unit:
        first, last = await _days(unit, past.zones, since, until)
        asked = Question(first, last, lag, by, item_id, category, location_id or "", region or "")
        return await value_added(unit.sql, asked, limit, past.zones.zone(region or "").key)


async def _days(unit: Unit, zones: Zones, since: date | None, until: date | None) -> tuple[date, date]:
    """Return the days to compare. Raise NotCounted, or Refusal if they are too many."""
    if (latest := await latest_origin(unit.sql, zones)) is None:
        raise NotCounted
    last = min(until or latest, latest - timedelta(days=1))
    first = since or last - timedelta(days=27)
    if (last - first).days >= MOST_DAYS:
        detail = f"At most {MOST_DAYS} days can be compared at once"
        raise Refusal(INVALID, errors=[{"in": "query", "parameter": "since", "detail": detail, "code": "range"}])
    return first, last
