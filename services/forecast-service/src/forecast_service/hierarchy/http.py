"""Sums of forecasts over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query

from crossdock_chassis import Database, Page, PageCursor, PageLimit, Problem, errors, provided
from forecast_service.conventions import Id, Reader, Region
from forecast_service.hierarchy import views
from forecast_service.hierarchy.views import ForecastSum, NoSuchSum, PartOfSum

NO_SUCH_SUM: Final = Problem(404, "no-such-sum", "No run has forecast all items of this sum; request a run")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchSum: NO_SUCH_SUM}


@dataclass(frozen=True, slots=True)
class Sums:
    """The dependency of the routes."""

    database: Database


SumsDep = Annotated[Sums, provided(Sums)]
router = APIRouter(prefix="/v1/forecasts/hierarchy", tags=["forecasts"])
Category = Annotated[Id | None, Query(description="Without it, all items")]
Location = Annotated[Id | None, Query(description="Of items at this location")]
InRegion = Annotated[Region | None, Query(description="Of items in this region, such as US or US-OR")]
Run = Annotated[UUID | None, Query(description="Without it, the newest run that is done and has the sum")]


@router.get("", summary="Show the forecast of a category or of all items", responses=errors(NO_SUCH_SUM))
async def get_sum(
    caller: Reader,
    sums: SumsDep,
    category: Category = None,
    location_id: Location = None,
    region: InRegion = None,
    run_id: Run = None,
) -> ForecastSum:
    """Return it as `POST /v1/runs/{id}:reconcile` has made it, else the sum of the items without quantiles.

    Overrides of its items move the mean, and the quantiles with it.
    """
    async with sums.database.unit() as unit:
        return await views.get(unit.sql, category, (location_id or "", region or ""), run_id)


@router.get("/parts", summary="List what a sum consists of")
async def get_parts(
    caller: Reader,
    sums: SumsDep,
    category: Category = None,
    location_id: Location = None,
    region: InRegion = None,
    run_id: Run = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[PartOfSum]:
    """Return the categories of all items, or the items of a category, by name."""
    after = views.PARTS.decode(cursor)
    async with sums.database.unit() as unit:
        return await views.parts(unit.sql, category, (location_id or "", region or ""), run_id, after, limit)
