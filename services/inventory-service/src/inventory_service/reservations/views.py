"""Views of reservations and backorders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import literal_column, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Cursor, Page
from inventory_service.reservations.model import SORT_KEY, Demand, NoSuchReservation, Status, Turn, Want, servable
from inventory_service.tables import AllocationRow, ItemRow, LevelRow, LocationRow, ReservationLineRow, ReservationRow

BY_ITEM: Cursor[tuple[int, str]] = Cursor("backorders-by-item", tuple[int, str])
Position: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
BY_ORDER: Cursor[tuple[Turn, int]] = Cursor("backorders-by-order", tuple[Turn, Position], version=2)

OVERDUE_LINES = 10_000

ITEMS_WAITED_FOR = """
    SELECT item_id, orders, units_missing, oldest_since, coalesce((
        SELECT sum(on_hand - reserved) FROM levels WHERE levels.item_id = waited.item_id
    ), 0)::bigint AS available
    FROM (
        SELECT item_id, count(DISTINCT order_id) AS orders, sum(waiting)::bigint AS units_missing,
               min(placed_at) AS oldest_since
        FROM reservation_lines
        WHERE waiting > 0 AND (CAST(:item AS text) IS NULL OR item_id = :item)
        GROUP BY item_id
    ) AS waited
    WHERE CAST(:orders AS bigint) IS NULL OR orders < :orders OR (orders = :orders AND item_id > :after)
    ORDER BY orders DESC, item_id LIMIT :limit
"""


class Held(BaseModel):
    location_id: str
    quantity: int


class ReservationLineView(BaseModel):
    line_id: str
    item_id: str
    requested: int
    reserved: int
    missing: int
    allocations: list[Held]


class ReservationView(BaseModel):
    """`status`: `open` (everything is reserved), `waiting` (stock is missing), `released` or `rejected`."""

    order_id: UUID
    status: Status
    priority: int | None
    partial: bool
    placed_at: datetime | None
    version: int
    lines: list[ReservationLineView]


class ItemBackorders(BaseModel):
    """`orders` wait for `units_missing` units of the item, the oldest order since `oldest_since`.

    Units can be `available` and not reserved: they are too few, or earmarked for an order that has waited long."""

    item_id: str
    orders: int
    units_missing: int
    oldest_since: datetime
    available: int


class Backorder(BaseModel):
    """A line of a backordered order. `quantity` is still missing; it can be in stock while other lines of a whole order
    are not."""

    order_id: UUID
    line_id: str
    item_id: str
    quantity: int
    requested: int
    priority: int
    partial: bool
    since: datetime


class Overdue(BaseModel):
    """Orders that wait although unreserved stock could serve them. There are none once the release queue is empty.

    If more than 10,000 backordered lines exist, only the first ones in their turn are compared: `complete` is false."""

    queued_items: int
    orders: list[UUID]
    complete: bool


async def get(session: AsyncSession, order_id: UUID) -> ReservationView:
    """Return the reservation of an order. Raise NoSuchReservation."""
    row = await session.get(ReservationRow, order_id)
    if row is None:
        raise NoSuchReservation(f"No order with the id {order_id} has asked for stock")
    lines = await session.scalars(
        select(ReservationLineRow).where(ReservationLineRow.order_id == order_id).order_by(ReservationLineRow.position)
    )
    held: dict[str, list[Held]] = {}
    query = select(AllocationRow).where(AllocationRow.order_id == order_id).order_by(AllocationRow.location_id)
    for each in await session.scalars(query):
        held.setdefault(each.line_id, []).append(Held(location_id=each.location_id, quantity=each.quantity))
    return ReservationView(
        order_id=order_id,
        status=Status(row.status),
        priority=row.priority,
        partial=row.partial,
        placed_at=row.placed_at,
        version=row.sequence,
        lines=[
            ReservationLineView(
                line_id=line.line_id,
                item_id=line.item_id,
                requested=line.requested,
                reserved=line.reserved,
                missing=line.waiting,
                allocations=held.get(line.line_id, []),
            )
            for line in lines
        ],
    )


async def by_item(
    session: AsyncSession, item: str | None, after: tuple[int, str] | None, limit: int
) -> Page[ItemBackorders]:
    """Return a page of items with backorders, the item with the most orders first."""
    orders, last = after or (None, None)
    values = {"item": item, "orders": orders, "after": last, "limit": limit + 1}
    rows = (await session.execute(text(ITEMS_WAITED_FOR), values)).all()
    items = [ItemBackorders.model_validate(row, from_attributes=True) for row in rows[:limit]]
    more = BY_ITEM.encode((items[-1].orders, items[-1].item_id)) if len(rows) > limit else None
    return Page(items=items, next=more)


async def by_order(
    session: AsyncSession, item: str | None, after: tuple[Turn, int] | None, limit: int
) -> Page[Backorder]:
    """Return a page of backordered lines in the order in which they are served, or only the lines of `item`."""
    order, line = ReservationRow, ReservationLineRow
    turn = (*(literal_column(part.format("reservations")) for part in SORT_KEY), line.position)
    query = (
        select(order, line)
        .join(line, line.order_id == order.order_id)
        .where(order.status == Status.WAITING, line.waiting > 0)
        .order_by(*turn)
        .limit(limit + 1)
    )
    if item is not None:
        query = query.where(line.item_id == item)
    if after is not None:
        (last_turn, last_position) = after
        query = query.where(tuple_(*turn) > (*last_turn, last_position))
    rows = (await session.execute(query)).all()
    items = [
        Backorder.model_validate(
            {
                "order_id": waits.order_id,
                "line_id": wants.line_id,
                "item_id": wants.item_id,
                "quantity": wants.waiting,
                "requested": wants.requested,
                "priority": waits.priority,
                "partial": waits.partial,
                "since": waits.placed_at,
            }
        )
        for waits, wants in rows[:limit]
    ]
    more = None
    if len(rows) > limit:
        last, its = rows[limit - 1]
        more = BY_ORDER.encode((Turn(-items[-1].priority, items[-1].since, last.order_id), its.position))
    return Page(items=items, next=more)


async def overdue(session: AsyncSession, earmark_before: datetime) -> Overdue:
    """Return the violations of invariant 7 among the first backorders in their turn: see `model.servable`."""
    queued = await session.scalar(text("SELECT count(DISTINCT item_id) FROM release_queue"))
    order, line = ReservationRow, ReservationLineRow
    rows = (
        await session.execute(
            select(order, line)
            .join(line, line.order_id == order.order_id)
            .where(order.status == Status.WAITING, line.waiting > 0)
            .order_by(*(literal_column(part.format("reservations")) for part in SORT_KEY), line.position)
            .limit(OVERDUE_LINES + 1)
        )
    ).all()
    lines: dict[UUID, tuple[ReservationRow, list[Want]]] = {}
    for waiting, wanted in rows:
        want = Want(wanted.line_id, wanted.item_id, wanted.waiting)
        lines.setdefault(waiting.order_id, (waiting, []))[1].append(want)
    if cut := len(rows) > OVERDUE_LINES:
        del lines[rows[-1][0].order_id]  # its other lines are missing
    items = {want.item_id for _, wants in lines.values() for want in wants}
    active = set(
        await session.scalars(select(ItemRow.item_id).where(ItemRow.item_id.in_(items), ItemRow.status == "active"))
    )
    levels = await session.scalars(
        select(LevelRow).where(LevelRow.item_id.in_(items), LevelRow.on_hand > LevelRow.reserved)
    )
    free: dict[str, dict[str, int]] = {}
    for level in levels:
        free.setdefault(level.item_id, {})[level.location_id] = level.on_hand - level.reserved
    places = await session.scalars(select(LocationRow.location_id).order_by(LocationRow.rank, LocationRow.location_id))
    demands = [_demand(waiting, wants, active, earmark_before) for waiting, wants in lines.values()]
    orders = servable(free, [demand for demand in demands if demand.lines], list(places))
    return Overdue(queued_items=queued or 0, orders=orders, complete=not cut)


def _demand(order: ReservationRow, wants: Sequence[Want], active: set[str], earmark_before: datetime) -> Demand:
    """Return the demand that stock can serve: none for a whole order that wants a discontinued item."""
    possible = [want for want in wants if want.item_id in active]
    if not order.partial and len(possible) < len(wants):
        possible = []
    placed_at = order.placed_at or earmark_before
    earmarks = not order.partial and placed_at < earmark_before
    return Demand(order.order_id, order.priority or 0, placed_at, order.partial, possible, earmarks)
