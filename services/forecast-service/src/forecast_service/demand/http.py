"""Demand over HTTP: what was asked for by day, and the import of what was asked for before Crossdock."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    Caller,
    Coalescer,
    Database,
    Page,
    PageCursor,
    Upload,
    errors,
    import_routes,
    provided,
    requires,
    upload_of,
    uploads,
)
from forecast_service.conventions import FIRST_DAY, FORECASTS, Day, Id, Reader, Region, Writer
from forecast_service.demand import views
from forecast_service.demand.cut_over import SetCutOver
from forecast_service.demand.kinds import DEMAND, DEMAND_PARQUET
from forecast_service.demand.parquet import MEDIA_TYPE
from forecast_service.demand.views import CutOver, DemandOfDay, DemandSummary, StockOut

CSV: Final = "text/csv"
CHANGES: Final = (
    "A row replaces what was imported for its item, place and day before. A row with neither location nor region is of "
    "the whole item. Demand of an unknown item is kept until the item is registered."
)
TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}


@dataclass(frozen=True, slots=True)
class Demand:
    """The dependencies of the routes."""

    database: Database
    set_cut_over: Coalescer[SetCutOver, CutOver]


DemandDep = Annotated[Demand, provided(Demand)]
Importer = Annotated[Caller, requires("forecasts:write")]
router = APIRouter(prefix="/v1", tags=["demand"])
status = import_routes(reader="forecasts:read", writer="forecasts:write")


@router.get("/demand", summary="List the demand of a series by day or week")
async def get_demand(
    caller: Reader,
    demand: DemandDep,
    item_id: Annotated[Id, Query(description="The item")],
    location_id: Annotated[Id | None, Query(description="Only what this location served")] = None,
    region: Annotated[Region | None, Query(description="Only orders to this region, such as US or US-OR")] = None,
    by: Annotated[Literal["day", "week"], Query(description="Weeks begin on Monday")] = "day",
    since: Annotated[Day, Query(description="The first day")] = FIRST_DAY,
    until: Annotated[Day | None, Query(description="The last day")] = None,
    cursor: PageCursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="The most entries in the page")] = 400,
) -> Page[DemandOfDay]:
    """Return one page in the order of the days. Demand is what was asked for, also if it could not be served."""
    first = views.DAYS_CURSOR.decode(cursor) or since
    series = (item_id, location_id or "", region or "")
    async with demand.database.unit() as unit:
        return await views.page(unit.sql, series, by, first, until, limit)


@router.get("/demand/summary", summary="Show how much demand is known")
async def get_summary(
    caller: Reader,
    demand: DemandDep,
    until: Annotated[Day | None, Query(description="The last day that counts")] = None,
) -> DemandSummary:
    """Return the number of active items with demand, and their first and last day."""
    async with demand.database.unit() as unit:
        return await views.summary(unit.sql, until)


@router.get("/demand/stock-outs", summary="List the times in which an item had no free units")
async def get_stock_outs(
    caller: Reader,
    demand: DemandDep,
    item_id: Annotated[Id, Query(description="The item")],
    location_id: Annotated[Id | None, Query(description="Only at this location")] = None,
) -> list[StockOut]:
    """Return the last 100 of them, the newest first. Without a location, no location had free units."""
    async with demand.database.unit() as unit:
        return list(await views.stock_outs(unit.sql, item_id, location_id or ""))


@router.get("/demand/cut-over", summary="Show from which day on orders count instead of imported rows")
async def get_cut_over(caller: Reader, demand: DemandDep) -> CutOver:
    async with demand.database.unit() as unit:
        return await views.cut_over(unit.sql)


@router.put(
    "/demand/cut-over",
    dependencies=FORECASTS,
    summary="State from which day on orders count instead of imported rows",
    responses=errors(*COMMAND_PROBLEMS),
)
async def put_cut_over(body: CutOver, caller: Writer, demand: DemandDep) -> CutOver:
    return (await demand.set_cut_over(SetCutOver(body.day, caller.actor))).result


@router.post("/demand:import", summary="Import a CSV or Parquet file of demand by day", **uploads(DEMAND, CHANGES))
async def import_demand(caller: Importer, upload: Annotated[Upload, upload_of(CSV, MEDIA_TYPE)]) -> Response:
    return await upload(caller, DEMAND_PARQUET if upload.media_type == MEDIA_TYPE else DEMAND)


@router.get(
    "/demand:template",
    summary="Download a CSV template of demand: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_demand_template(caller: Reader) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{DEMAND.name}.csv"'}
    return Response(DEMAND.sheet().template, headers=headers, media_type=CSV)
