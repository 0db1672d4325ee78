"""What operators see of the orders of all partners, and the queries behind it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import FromClause, Row, Select, func, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from analytics_service.tables import OrderNowRow, WaitingLineRow
from crossdock_chassis import Cursor, Page, Timestamp

Status = Literal["placed", "confirmed", "backordered", "rejected", "cancelled"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
WAITING_STATUSES: Final[tuple[Status, ...]] = ("placed", "backordered")
Name = Annotated[str, Field(min_length=1, max_length=64)]
MOST_COUNTED: Final = 10_000
"""The most orders of a status that are counted."""
ROW: Final = OrderNowRow.__table__
ORDERS: Final[Cursor[tuple[datetime, UUID]]] = Cursor("orders-now", tuple[datetime, UUID])
BACKORDERS: Final[Cursor[str]] = Cursor("backorders-now", str)


class OrderNow(BaseModel):
    """An order as its last event left it."""

    id: UUID
    partner: str
    reference: str
    status: Status
    since: Annotated[datetime, Field(description="When it got this status")]
    placed_at: datetime
    version: Annotated[int, Field(description="The sequence of its last event")]
    reason: str | None
    priority: int | None
    currency: str | None
    total: str | None
    lines: int | None
    units: Annotated[int | None, Field(description="In base units, of all lines")]


SHOWN: Final = sorted(OrderNow.model_fields.keys() - {"id", "version"})


class ItemBackorders(BaseModel):
    """The open backorders of an item, of all partners."""

    item_id: str
    orders: int
    units_missing: int
    oldest_placed_at: datetime


class Filters(BaseModel):
    """The filters of a list of orders. An index serves each of them."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[Status | None, Field(description="Only orders with this status")] = None
    waiting: Annotated[
        bool | None, Field(description="true: only orders that wait, for an answer or for stock; false: only others")
    ] = None
    partner: Annotated[Name | None, Field(description="Only orders of this partner")] = None
    reference: Annotated[Name | None, Field(description="Only orders with exactly this reference, of any partner")] = (
        None
    )
    order_id: Annotated[
        list[UUID] | None, Field(min_length=1, max_length=200, description="Only these orders. Repeat it for several")
    ] = None
    waiting_item: Annotated[Name | None, Field(description="Only orders that wait for this item")] = None
    placed_since: Annotated[Timestamp | None, Field(description="Only orders placed at or after this time")] = None
    placed_before: Annotated[Timestamp | None, Field(description="Only orders placed before this time")] = None

    def statuses(self) -> list[Status]:
        """Return the statuses that an order can have to pass the filters."""
        return [
            each
            for each in STATUSES
            if self.status in (None, each) and self.waiting in (None, each in WAITING_STATUSES)
        ]


class ListOfOrders(Filters):
    sort: Annotated[Literal["newest", "oldest"], Field(description="By the time of placing")] = "newest"
    cursor: Annotated[str | None, Field(max_length=1000, description="`next` of the previous page")] = None
    limit: Annotated[int, Field(ge=1, le=200, description="The most entries in the page")] = 100


class StatusCount(BaseModel):
    """The number of orders with a status. If `complete` is false, there are more."""

    status: Status
    orders: int
    complete: bool


class OrderCounts(BaseModel):
    items: list[StatusCount]


async def orders(session: AsyncSession, wanted: ListOfOrders) -> Page[OrderNow]:
    """Return a page of orders by the time of placing.

    An index has the orders of one status in their order. So several statuses are read one by one and merged.
    """
    newest, after = wanted.sort == "newest", ORDERS.decode(wanted.cursor)
    query = _passing(select(ROW), wanted)
    if after is not None:
        place = tuple_(ROW.c.placed_at, ROW.c.order_id)
        query = query.where(place < after if newest else place > after)
    statuses = wanted.statuses()
    if len(statuses) == len(STATUSES):
        found = _sorted(query, ROW, newest, wanted.limit + 1)
    else:
        parts = [_sorted(query.where(ROW.c.status == each), ROW, newest, wanted.limit + 1) for each in statuses]
        if not parts:
            return Page(items=[], next=None)
        merged = union_all(*(select(each.subquery()) for each in parts)).subquery()
        found = _sorted(select(merged), merged, newest, wanted.limit + 1)
    rows = (await session.execute(found)).all()
    page = rows[: wanted.limit]
    more = ORDERS.encode((page[-1].placed_at, page[-1].order_id)) if len(rows) > wanted.limit else None
    return Page(items=[_shown(each) for each in page], next=more)


async def counts(session: AsyncSession, filters: Filters) -> OrderCounts:
    """Count the orders of each status that pass the filters, up to a limit, so that many orders cost little."""
    possible = filters.statuses()
    counted = [
        select(func.count()).select_from(
            _passing(select(literal(1)).select_from(ROW), filters)
            .where(ROW.c.status == each)
            .limit(MOST_COUNTED + 1)
            .subquery()
        )
        for each in possible
    ]
    found = (await session.execute(select(*(each.scalar_subquery() for each in counted)))).one() if counted else ()
    numbers = dict(zip(possible, found, strict=True))
    return OrderCounts(
        items=[
            StatusCount(
                status=each,
                orders=min(numbers.get(each, 0), MOST_COUNTED),
                complete=numbers.get(each, 0) <= MOST_COUNTED,
            )
            for each in STATUSES
        ]
    )


def _passing(query: Select[*tuple[Any, ...]], filters: Filters) -> Select[*tuple[Any, ...]]:
    """Add all filters but the status."""
    row = ROW.c
    if filters.partner is not None:
        query = query.where(row.partner == filters.partner)
    if filters.reference is not None:
        query = query.where(row.reference == filters.reference)
    if filters.order_id is not None:
        query = query.where(row.order_id.in_(filters.order_id))
    if filters.waiting_item is not None:
        lines = select(WaitingLineRow.order_id).where(WaitingLineRow.item_id == filters.waiting_item)
        query = query.where(row.order_id.in_(lines))
    if filters.placed_since is not None:
        query = query.where(row.placed_at >= filters.placed_since)
    if filters.placed_before is not None:
        query = query.where(row.placed_at < filters.placed_before)
    return query


def _sorted(query: Select[*tuple[Any, ...]], rows: FromClause, newest: bool, limit: int) -> Select[*tuple[Any, ...]]:
    key = (rows.c.placed_at, rows.c.order_id)
    return query.order_by(*(each.desc() if newest else each for each in key)).limit(limit)


def _shown(row: Row[*tuple[Any, ...]]) -> OrderNow:
    return OrderNow(id=row.order_id, version=row.sequence, **{name: getattr(row, name) for name in SHOWN})


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
