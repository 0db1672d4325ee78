"""What operators see of the orders of all partners, and the queries behind it."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from analytics_service.tables import OrderNowRow, WaitingLineRow
from crossdock_chassis import Cursor, Page

Status = Literal["placed", "confirmed", "backordered", "rejected", "cancelled"]
ORDERS: Final[Cursor[tuple[datetime, UUID]]] = Cursor("orders-now", tuple[datetime, UUID])
BACKORDERS: Final[Cursor[str]] = Cursor("backorders-now", str)


class OrderNow(BaseModel):
    """An order as its last event left it."""

    id: UUID
    partner: str
    reference: str
    status: str
    since: Annotated[datetime, Field(description="When it got this status")]
    placed_at: datetime
    version: Annotated[int, Field(description="The sequence of its last event")]
    reason: str | None
    priority: int | None
    currency: str | None
    total: str | None
    lines: int | None
    units: Annotated[int | None, Field(description="In base units, of all lines")]


class ItemBackorders(BaseModel):
    """The open backorders of an item, of all partners."""

    item_id: str
    orders: int
    units_missing: int
    oldest_placed_at: datetime


async def orders(
    session: AsyncSession,
    status: str | None,
    partner: str | None,
    item: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Page[OrderNow]:
    """Return a page of orders, newest first."""
    row = OrderNowRow
    query = select(row).order_by(row.placed_at.desc(), row.order_id.desc()).limit(limit + 1)
    if status is not None:
        query = query.where(row.status == status)
    if partner is not None:
        query = query.where(row.partner == partner)
    if item is not None:
        query = query.where(row.order_id.in_(select(WaitingLineRow.order_id).where(WaitingLineRow.item_id == item)))
    if after is not None:
        query = query.where(tuple_(row.placed_at, row.order_id) < after)
    found = (await session.scalars(query)).all()
    page = found[:limit]
    more = ORDERS.encode((page[-1].placed_at, page[-1].order_id)) if len(found) > limit else None
    return Page(items=[_shown(each) for each in page], next=more)


def _shown(row: OrderNowRow) -> OrderNow:
    return OrderNow(
        id=row.order_id,
        partner=row.partner,
        reference=row.reference,
        status=row.status,
        since=row.since,
        placed_at=row.placed_at,
        version=row.sequence,
        reason=row.reason,
        priority=row.priority,
        currency=row.currency,
        total=row.total,
        lines=row.lines,
        units=row.units,
    )


async def backorders(session: AsyncSession, after: str | None, limit: int) -> Page[ItemBackorders]:
    """Return a page of items that orders wait for, by their ids."""
    line = WaitingLineRow
    query = (
        select(
            line.item_id,
            func.count(line.order_id.distinct()),
            func.sum(line.backordered),
            func.min(OrderNowRow.placed_at),
        )
        .join(OrderNowRow, OrderNowRow.order_id == line.order_id)
        .group_by(line.item_id)
        .order_by(line.item_id)
        .limit(limit + 1)
    )
    if after is not None:
        query = query.where(line.item_id > after)
    rows = (await session.execute(query)).all()
    items = [
        ItemBackorders(item_id=item, orders=count, units_missing=units, oldest_placed_at=oldest)
        for item, count, units, oldest in rows[:limit]
    ]
    return Page(items=items, next=BACKORDERS.encode(items[-1].item_id) if len(rows) > limit else None)
