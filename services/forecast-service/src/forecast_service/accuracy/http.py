"""The accuracy of past forecasts over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query

from crossdock_chassis import INVALID, Database, Problem, Refusal, errors, provided
from forecast_service.accuracy import views
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
router = APIRouter(prefix="/v1/accuracy", tags=["forecasts"])


@router.get("", summary="Compare past forecasts with what was asked for", responses=errors(NOT_COUNTED))
async def get_accuracy(
    caller: Reader,
    past: PastForecastsDep,
    since: Annotated[DemandDay | None, Query(description="The first day; without it, 28 days are compared")] = None,
    until: Annotated[DemandDay | None, Query(description="The last day; without it, the last whole day")] = None,
    lag: Annotated[int, Query(ge=1, le=LAGS, description="Forecasts that were made at least so many days ahead")] = 1,
    item_id: Annotated[Id | None, Query(description="Only this item")] = None,
    location_id: Annotated[Id | None, Query(description="Of items at this location")] = None,
    region: Annotated[Region | None, Query(description="Of items in this region, such as US or US-OR")] = None,
) -> Accuracy:
    """Return WAPE and bias beside those of seasonal naive, and the ten items with the largest errors."""
    async with past.database.unit() as unit:
        if (latest := await latest_origin(unit.sql, past.zones)) is None:
            raise NotCounted
        last = min(until or latest, latest - timedelta(days=1))
        first = since or last - timedelta(days=27)
        if (last - first).days >= MOST_DAYS:
            detail = f"At most {MOST_DAYS} days can be compared at once"
            raise Refusal(INVALID, errors=[{"in": "query", "parameter": "since", "detail": detail, "code": "range"}])
        return await views.accuracy(unit.sql, first, last, lag, item_id, location_id or "", region or "")
