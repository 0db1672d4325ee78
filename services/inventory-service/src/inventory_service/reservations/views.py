"""Views of reservations and backorders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import ColumnClause, literal_column, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Cursor, Page
from inventory_service.reservations.model import SORT_KEY, Demand, NoSuchReservation, Status, Turn, Want, servable
from inventory_service.reservations.store import TURN
from inventory_service.tables import AllocationRow, ItemRow, LevelRow, LocationRow, ReservationLineRow, ReservationRow

BY_ITEM: Cursor[str] = Cursor("backorders-by-item", str, version=2)
Position: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
BY_ORDER: Cursor[tuple[Turn, int]] = Cursor("backorders-by-order", tuple[Turn, Position], version=2)

OVERDUE_LINES = 10_000
COUNTED_LINES = 10_000

ONE_ITEM = "SELECT CAST(:after AS text) AS item_id"

# PostgreSQL reads one index entry per item. DISTINCT would read all backordered lines.
NEXT_ITEMS = """
    WITH RECURSIVE next AS (
        (SELECT item_id FROM reservation_lines WHERE waiting > 0 AND item_id > :after ORDER BY item_id LIMIT 1)
        UNION ALL
        SELECT (SELECT line.item_id FROM reservation_lines AS line
                WHERE line.waiting > 0 AND line.item_id > next.item_id ORDER BY line.item_id LIMIT 1)
        FROM next WHERE item_id IS NOT NULL
    )
    SELECT item_id FROM next WHERE item_id IS NOT NULL LIMIT :limit
"""

WAITED_FOR = """
    SELECT item_id, orders, units_missing, oldest_since, lines <= :most AS complete, coalesce((
        SELECT sum(on_hand - reserved) FROM levels WHERE levels.item_id = page.item_id
    ), 0)::bigint AS available
    FROM ({items}) AS page CROSS JOIN LATERAL (
        SELECT count(*) AS lines, count(DISTINCT order_id) FILTER (WHERE nth <= :most) AS orders,
               sum(waiting) FILTER (WHERE nth <= :most)::bigint AS units_missing,
               min(placed_at) FILTER (WHERE nth <= :most) AS oldest_since
        FROM (
            SELECT order_id, waiting, placed_at, row_number() OVER (ORDER BY {turn}) AS nth
            FROM reservation_lines AS line WHERE line.item_id = page.item_id AND waiting > 0
            ORDER BY {turn} LIMIT CAST(:most AS bigint) + 1
        ) AS counted
    ) AS waited
    WHERE lines > 0 ORDER BY item_id
"""

QUEUED_LINES = 20

# The lines of one order that lack stock, the largest lack first, each with what is ahead of it for the item. Two ranges
# of the index hold that: higher priorities, and earlier orders of the same priority. Each is read up to a limit.
PLACES = """
    SELECT line.line_id, line.item_id, line.requested, line.reserved, line.waiting AS missing, line.lines,
           item.status = 'active' AS orderable, ahead.orders, ahead.units, ahead.lines <= :most AS complete,
           coalesce((
               SELECT sum(on_hand - reserved) FROM levels WHERE levels.item_id = line.item_id
           ), 0)::bigint AS available
    FROM (
        SELECT *, count(*) OVER () AS lines FROM reservation_lines WHERE order_id = :order_id AND waiting > 0
        ORDER BY waiting DESC, position LIMIT :shown
    ) AS line
    JOIN items AS item USING (item_id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS lines, count(DISTINCT order_id) AS orders, coalesce(sum(waiting), 0)::bigint AS units FROM (
            (SELECT order_id, waiting FROM reservation_lines AS other
             WHERE other.item_id = line.item_id AND waiting > 0 AND priority > line.priority
             LIMIT CAST(:most AS bigint) + 1)
            UNION ALL
            (SELECT order_id, waiting FROM reservation_lines AS other
             WHERE other.item_id = line.item_id AND waiting > 0 AND priority = line.priority
               AND (placed_at, order_id) < (line.placed_at, line.order_id)
             LIMIT CAST(:most AS bigint) + 1)
        ) AS earlier
    ) AS ahead
    ORDER BY line.waiting DESC, line.position
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


class QueuedLine(BaseModel):
    """A line that lacks stock, and its place in the queue for the item."""

    line_id: str
    item_id: str
    requested: int
    reserved: int
    missing: int
    orders_ahead: Annotated[int, Field(description="Other orders that get stock of the item first")]
    units_ahead: Annotated[int, Field(description="The units that they lack")]
    complete: Annotated[bool, Field(description="False if more lines are ahead than were counted, at least 10,000")]
    available: Annotated[int, Field(description="Unreserved units of the item. They are too few, or set aside")]
    discontinued: Annotated[bool, Field(description="True: the line gets no stock until the item is active again")]


class QueuePlace(BaseModel):
    """Where an order is in the queue for stock. Only an order whose status is `waiting` has lines here."""

    order_id: UUID
    status: Status
    version: int
    changed_at: datetime
    partial: bool
    priority: int | None
    lines: Annotated[list[QueuedLine], Field(description="The lines that lack most, at most 20")]
    lines_left_out: int


class ItemBackorders(BaseModel):
    """`orders` wait for `units_missing` units of the item, the oldest order since `oldest_since`.

    Units can be `available` and not reserved: they are too few, or earmarked for an order that has waited long.

    `complete` is false if more than 10,000 lines wait for the item. The first ones in their turn are then counted."""

    item_id: str
    orders: int
    units_missing: int
    oldest_since: datetime
    available: int
    complete: bool


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


async def place(session: AsyncSession, order_id: UUID) -> QueuePlace:
    """Return the place of an order in the queue for each item that it lacks. Raise NoSuchReservation."""
    row = await session.get(ReservationRow, order_id)
    if row is None:
        raise NoSuchReservation(f"No order with the id {order_id} has asked for stock")
    values = {"order_id": order_id, "most": COUNTED_LINES, "shown": QUEUED_LINES}
    found = (await session.execute(text(PLACES), values)).all() if row.status == Status.WAITING else []
    return QueuePlace(
        order_id=order_id,
        status=Status(row.status),
        version=row.sequence,
        changed_at=row.changed_at,
        partial=row.partial,
        priority=row.priority,
        lines=[
            QueuedLine(
                line_id=line.line_id,
                item_id=line.item_id,
                requested=line.requested,
                reserved=line.reserved,
                missing=line.missing,
                orders_ahead=line.orders,
                units_ahead=line.units,
                complete=line.complete,
                available=line.available,
                discontinued=not line.orderable,
            )
            for line in found
        ],
        lines_left_out=found[0].lines - len(found) if found else 0,
    )


async def by_item(session: AsyncSession, item: str | None, after: str | None, limit: int) -> Page[ItemBackorders]:
    """Return a page of items with backorders, by their ids."""
    statement = WAITED_FOR.format(items=NEXT_ITEMS if item is None else ONE_ITEM, turn=TURN)
    values = {"after": (after or "") if item is None else item, "limit": limit + 1, "most": COUNTED_LINES}
    rows = (await session.execute(text(statement), values)).all()
    items = [ItemBackorders.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return Page(items=items, next=BY_ITEM.encode(items[-1].item_id) if len(rows) > limit else None)


async def by_order(
    session: AsyncSession, item: str | None, after: tuple[Turn, int] | None, limit: int
) -> Page[Backorder]:
    """Return a page of backordered lines in the order in which they are served, or only the lines of `item`."""
    rows = await (_lines(session, after, limit + 1) if item is None else _of_item(session, item, after, limit + 1))
    items = [
        Backorder.model_validate(
            {
                "order_id": line.order_id,
                "line_id": line.line_id,
                "item_id": line.item_id,
                "quantity": line.waiting,
                "requested": line.requested,
                "priority": line.priority,
                "partial": line.partial,
                "since": line.placed_at,
            }
        )
        for line in rows[:limit]
    ]
    more = None
    if len(rows) > limit:
        last = rows[limit - 1]
        more = BY_ORDER.encode((Turn(-last.priority, last.placed_at, last.order_id), last.position))
    return Page(items=items, next=more)


async def _lines(session: AsyncSession, after: tuple[Turn, int] | None, limit: int) -> Sequence[ReservationLineRow]:
    order, line = ReservationRow, ReservationLineRow
    turn: list[ColumnClause[Any]] = [literal_column(part.format("reservations")) for part in SORT_KEY]
    query = (
        select(line)
        .join(order, line.order_id == order.order_id)
        .where(order.status == Status.WAITING, line.waiting > 0)
        .order_by(*turn, line.position)
        .limit(limit)
    )
    if after is not None:
        last, position = after
        # the index has the turn, and not the position
        query = query.where(tuple_(*turn) >= tuple_(*last), tuple_(*turn, line.position) > (*last, position))
    return (await session.scalars(query)).all()


async def _of_item(
    session: AsyncSession, item: str, after: tuple[Turn, int] | None, limit: int
) -> Sequence[ReservationLineRow]:
    """Return lines of an item. The index is read from the place of the cursor, and then from the next priority."""
    line = ReservationLineRow
    query = (
        select(line)
        .where(line.item_id == item, line.waiting > 0)
        .order_by(line.priority.desc(), line.placed_at, line.order_id, line.position)
    )
    if after is None:
        return (await session.scalars(query.limit(limit))).all()
    (urgency, placed_at, order_id), position = after
    later = tuple_(line.placed_at, line.order_id, line.position) > (placed_at, order_id, position)
    rows = [*await session.scalars(query.where(line.priority == -urgency, later).limit(limit))]
    if len(rows) < limit:
        rows += await session.scalars(query.where(line.priority < -urgency).limit(limit - len(rows)))
    return rows


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
