"""Forecasts over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query

from crossdock_chassis import Database, Problem, Timestamp, errors, provided
from forecast_service.conventions import Id, Reader, Region
from forecast_service.forecasts import views
from forecast_service.forecasts.views import Forecast, NoSuchForecast

NO_SUCH_FORECAST: Final = Problem(404, "no-such-forecast", "No run has made a forecast of this series")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchForecast: NO_SUCH_FORECAST}


@dataclass(frozen=True, slots=True)
class Forecasts:
    """The dependency of the routes."""

    database: Database


ForecastsDep = Annotated[Forecasts, provided(Forecasts)]
router = APIRouter(prefix="/v1/forecasts", tags=["forecasts"])


@router.get("", summary="Show the forecast of a series, now or earlier", responses=errors(NO_SUCH_FORECAST))
async def get_forecast(
    caller: Reader,
    forecasts: ForecastsDep,
    item_id: Annotated[Id, Query(description="The item")],
    location_id: Annotated[Id | None, Query(description="Of the item at this location")] = None,
    region: Annotated[Region | None, Query(description="Of the item in this region, such as US or US-OR")] = None,
    as_of: Annotated[Timestamp | None, Query(description="The forecast that was the last one at this time")] = None,
) -> Forecast:
    """Return each day of the horizon, beside what orders already ask for on it."""
    at: datetime | None = as_of
    async with forecasts.database.unit() as unit:
        return await views.last(unit.sql, (item_id, location_id or "", region or ""), at)
