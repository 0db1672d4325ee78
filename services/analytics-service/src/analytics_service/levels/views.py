"""What operators see of items and their stock, and the queries behind it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from analytics_service.tables import LevelNowRow, StockItemRow, WaitingLineRow
from crossdock_chassis import Cursor, Page

STOCK: Final[Cursor[tuple[str, str]]] = Cursor("stock-now", tuple[str, str])
LAST_CHARACTER: Final = "\U0010ffff"
Name = Annotated[str, Field(min_length=1, max_length=64)]


class StockFilters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item_prefix: Annotated[Name | None, Field(description="Only items whose id begins like this")] = None
    location_id: Annotated[Name | None, Field(description="Only stock at this location")] = None
    state: Annotated[
        Literal["out_of_stock", "waiting"] | None,
        Field(description="`out_of_stock`: no unit of the item is unreserved anywhere. `waiting`: orders wait for it"),
    ] = None
    cursor: Annotated[str | None, Field(max_length=1000, description="`next` of the previous page")] = None
    limit: Annotated[int, Field(ge=1, le=200, description="The most entries in the page")] = 100


class StockNow(BaseModel):
    """An item at a location. An item that lies nowhere has one entry, without a location.

    `units_missing` and `orders_waiting` are of the item, wherever its stock will come.
    """

    item_id: str
    location_id: str | None
    on_hand: int
    reserved: int
    available: int
    units_missing: int
    orders_waiting: int
    status: Annotated[
        Literal["active", "discontinued"] | None,
        Field(description="null if no event of the item itself has been read yet"),
    ]
    category: str | None
    unit_of_measure: str | None
    changed_at: Annotated[datetime | None, Field(description="null if the item has never had stock")]


async def stock(session: AsyncSession, wanted: StockFilters) -> Page[StockNow]:
    """Return a page of the stock by item and location."""
    item, level, line = StockItemRow, LevelNowRow, WaitingLineRow
    place: ColumnElement[str] = func.coalesce(level.location_id, "")
    query = (
        select(
            item.item_id,
            level.location_id,
            func.coalesce(level.on_hand, 0).label("on_hand"),
            func.coalesce(level.reserved, 0).label("reserved"),
            item.status,
            item.category,
            item.unit_of_measure,
            item.changed_at,
        )
        .join(level, level.item_id == item.item_id, isouter=wanted.location_id is None)
        .order_by(item.item_id, place)
        .limit(wanted.limit + 1)
    )
    if wanted.location_id is not None:
        query = query.where(level.location_id == wanted.location_id)
    if wanted.item_prefix is not None:  # a range, because LIKE with a parameter reads no index
        query = query.where(item.item_id.between(wanted.item_prefix, wanted.item_prefix + LAST_CHARACTER))
    if wanted.state == "out_of_stock":
        query = query.where(item.empty)
    elif wanted.state == "waiting":
        query = query.where(select(literal(1)).where(line.item_id == item.item_id).exists())
    if (after := STOCK.decode(wanted.cursor)) is not None:
        query = query.where(item.item_id >= after[0], tuple_(item.item_id, place) > after)
    found = (await session.execute(query)).all()
    rows = found[: wanted.limit]
    items = await _with_waiting(session, rows)
    more = STOCK.encode((rows[-1].item_id, rows[-1].location_id or "")) if len(found) > wanted.limit else None
    return Page(items=items, next=more)


async def _with_waiting(session: AsyncSession, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[StockNow]:
    line, items = WaitingLineRow, {row.item_id for row in rows}
    query = (
        select(line.item_id, func.sum(line.backordered), func.count(line.order_id.distinct()))
        .where(line.item_id.in_(items))
        .group_by(line.item_id)
    )
    waiting = {item: (int(units), orders) for item, units, orders in await session.execute(query)} if items else {}
    return [
        StockNow(
            **row._mapping,
            available=row.on_hand - row.reserved,
            units_missing=waiting.get(row.item_id, (0, 0))[0],
            orders_waiting=waiting.get(row.item_id, (0, 0))[1],
        )
        for row in rows
    ]
