"""Stock levels over HTTP, for operators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select, tuple_

from analytics_service.levels import views
from analytics_service.levels.views import StockFilters, StockNow
from analytics_service.tables import LevelNowRow
from crossdock_chassis import Cursor, Database, OpsReader, Page, PageCursor, PageLimit, provided

LEVELS: Final[Cursor[tuple[str, str]]] = Cursor("levels-now", tuple[str, str])


class LevelNow(BaseModel):
    """The stock of an item at a location, as the last event of the item has it."""

    item_id: str
    location_id: str
    on_hand: int
    reserved: int
    changed_at: Annotated[datetime, Field(description="When the last event of the item was published")]


@dataclass(frozen=True, slots=True)
class Levels:
    """The dependency of the routes."""

    database: Database


LevelsDep = Annotated[Levels, provided(Levels)]
router = APIRouter(prefix="/v1", tags=["stock"])


@router.get("/levels", summary="List the stock of items at locations")
async def get_levels(
    caller: OpsReader,
    levels: LevelsDep,
    item_id: Annotated[str | None, Query(min_length=1, max_length=64, description="Only this item")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[LevelNow]:
    """Return one page by item and location. It is built from events, which are up to 250 ms behind the stock."""
    row, after = LevelNowRow, LEVELS.decode(cursor)
    query = select(row).order_by(row.item_id, row.location_id).limit(limit + 1)
    if item_id is not None:
        query = query.where(row.item_id == item_id)
    if after is not None:
        query = query.where(tuple_(row.item_id, row.location_id) > after)
    async with levels.database.reading() as session:
        found = (await session.scalars(query)).all()
    items = [LevelNow.model_validate(each, from_attributes=True) for each in found[:limit]]
    more = LEVELS.encode((items[-1].item_id, items[-1].location_id)) if len(found) > limit else None
    return Page(items=items, next=more)


@router.get("/stock", summary="List all items with their stock at each location")
async def get_stock(caller: OpsReader, wanted: Annotated[StockFilters, Query()], levels: LevelsDep) -> Page[StockNow]:
    """Return one page by item and location. Unlike `/v1/levels` it has items that lie nowhere, too."""
    async with levels.database.reading() as session:
        return await views.stock(session, wanted)
