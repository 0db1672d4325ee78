"""Reservations in and out of their tables, many at a time. A row of `reservations` is locked before any stock head."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from crossdock_chassis import Unit
from crossdock_events import Cause, Envelope
from crossdock_events.orders import OrderPlaced
from inventory_service.reservations.model import PRIORITIES, Allocation, Demand, Line, Reservation, Status, Want

# What is answered is ours to decide; an order that is missing was decided, or cancelled, before.
CLAIM = """
    INSERT INTO reservations (order_id, status, sequence, priority, partial, placed_at, correlation_id, changed_at)
    SELECT order_id, 'open', 1, priority, partial, placed_at, correlation_id, $6
    FROM unnest($1::uuid[], $2::smallint[], $3::boolean[], $4::timestamptz[], $5::uuid[])
         AS new (order_id, priority, partial, placed_at, correlation_id)
    ORDER BY order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id
"""

# Also bars an order that is not there yet.
BAR = """
    INSERT INTO reservations (order_id, status, sequence, partial, correlation_id, changed_at)
    SELECT order_id, 'released', 1, false, correlation_id, $3
    FROM unnest($1::uuid[], $2::uuid[]) AS new (order_id, correlation_id)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE
        SET status = 'released', sequence = reservations.sequence + 1, changed_at = excluded.changed_at
        WHERE reservations.status <> 'released'
    RETURNING order_id, sequence
"""

LOCK_WAITING = """
    SELECT order_id, sequence, priority, partial, placed_at, correlation_id FROM reservations
    WHERE order_id = ANY($1::uuid[]) AND status = 'waiting' ORDER BY order_id FOR UPDATE
"""

DECIDE = """
    UPDATE reservations SET status = new.status, sequence = new.sequence, changed_at = $4
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS new (order_id, status, sequence)
    WHERE reservations.order_id = new.order_id
"""

LINE_COLUMNS = ("order_id", "line_id", "position", "item_id", "requested", "reserved", "waiting", "priority")

UPDATE_LINES = """
    UPDATE reservation_lines SET reserved = new.reserved, waiting = new.waiting
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS new (order_id, line_id, reserved, waiting)
    WHERE reservation_lines.order_id = new.order_id AND reservation_lines.line_id = new.line_id
"""

HELD_COLUMNS = ("order_id", *Allocation._fields)

HOLD_MORE = """
    INSERT INTO allocations (order_id, line_id, item_id, location_id, quantity)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    ON CONFLICT (order_id, line_id, location_id) DO UPDATE SET quantity = allocations.quantity + excluded.quantity
"""

HELD = """
    SELECT order_id, line_id, item_id, location_id, quantity
    FROM allocations JOIN reservation_lines USING (order_id, line_id, item_id)
    WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, position, location_id
"""

LET_GO = "DELETE FROM allocations WHERE order_id = ANY($1::uuid[])"

CLOSE_LINES = """
    UPDATE reservation_lines SET reserved = 0, waiting = 0
    WHERE order_id = ANY($1::uuid[]) AND (reserved > 0 OR waiting > 0)
"""

WAITED_FOR = "SELECT DISTINCT item_id FROM reservation_lines WHERE order_id = ANY($1::uuid[]) AND waiting > 0"

LINES = """
    SELECT order_id, line_id, item_id, requested FROM reservation_lines
    WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, position
"""

DISCONTINUED = "SELECT item_id FROM items WHERE item_id = ANY($1::text[]) AND status <> 'active'"

AHEAD = """
    SELECT item_id, priority, sum(waiting)::bigint AS units FROM reservation_lines
    WHERE item_id = ANY($1::text[]) AND waiting > 0 GROUP BY item_id, priority
"""

QUEUED = "SELECT id, item_id FROM release_queue ORDER BY id"

DEQUEUE = "DELETE FROM release_queue WHERE id = ANY($1::bigint[])"

# Who could be served now that $1 rose, and who is old enough ($2) to set something aside. An order with a line that no
# stock can serve is not looked at, however long the queue is: total stock decides, so neither is it when it is served.
CANDIDATES = """
    WITH free AS (
        SELECT item_id, sum(on_hand - reserved) AS units FROM levels
        WHERE on_hand > reserved AND item_id IN (SELECT item_id FROM reservation_lines WHERE waiting > 0)
        GROUP BY item_id
    ), concerned AS (
        SELECT order_id FROM reservation_lines WHERE waiting > 0 AND item_id = ANY($1::text[])
        UNION
        SELECT order_id FROM reservations WHERE status = 'waiting' AND NOT partial AND placed_at < $2
    )
    SELECT reservation.order_id, reservation.priority, placed_at, partial,
           array_agg(line_id ORDER BY position) FILTER (WHERE item.status = 'active') AS line_ids,
           array_agg(item_id ORDER BY position) FILTER (WHERE item.status = 'active') AS item_ids,
           array_agg(waiting ORDER BY position) FILTER (WHERE item.status = 'active') AS quantities
    FROM concerned JOIN reservations AS reservation USING (order_id)
    JOIN reservation_lines AS line USING (order_id) JOIN items AS item USING (item_id) LEFT JOIN free USING (item_id)
    WHERE reservation.status = 'waiting' AND line.waiting > 0
    GROUP BY reservation.order_id
    HAVING bool_or(item.status = 'active' AND units > 0)
       AND (partial OR bool_and(item.status = 'active' AND (placed_at < $2 OR coalesce(units, 0) >= waiting)))
    ORDER BY reservation.priority DESC, placed_at, reservation.order_id
    LIMIT $3
"""

FREE = """
    SELECT item_id, location_id, on_hand - reserved AS units FROM levels
    WHERE item_id = ANY($1::text[]) AND on_hand > reserved
"""


async def claim(unit: Unit, batch: Iterable[Envelope[OrderPlaced]]) -> set[UUID]:
    """The orders that nobody has decided or cancelled before."""
    orders = [(placed.event, placed.time, placed.cause.correlation_id) for placed in batch]
    rows = await unit.sql.fetch(
        CLAIM,
        [order.order_id for order, _, _ in orders],
        [order.priority for order, _, _ in orders],
        [order.partial for order, _, _ in orders],
        [placed_at for _, placed_at, _ in orders],
        [correlation_id for _, _, correlation_id in orders],
        unit.now,
    )
    return {row["order_id"] for row in rows}


async def bar(unit: Unit, causes: Mapping[UUID, Cause]) -> dict[UUID, int]:
    """Orders that are released by this, with their sequence; those that were before are left out. Locks them."""
    rows = await unit.sql.fetch(BAR, list(causes), [cause.correlation_id for cause in causes.values()], unit.now)
    return {row["order_id"]: row["sequence"] for row in rows}


async def discontinued(unit: Unit, items: Iterable[str]) -> set[str]:
    return {row["item_id"] for row in await unit.sql.fetch(DISCONTINUED, list(items))}


async def ahead(unit: Unit, items: Iterable[str]) -> dict[str, list[int]]:
    """For each item that somebody waits for: how much of it, by priority. The unit holds their heads."""
    waiting: dict[str, list[int]] = {}
    for item, priority, units in await unit.sql.fetch(AHEAD, list(items)):
        waiting.setdefault(item, [0] * len(PRIORITIES))[priority] = units
    return waiting


async def insert_lines(unit: Unit, reservations: Sequence[Reservation]) -> None:
    lines = [
        (each.order_id, line.line_id, position, line.item_id, line.requested, reserved,
         line.requested - reserved if each.status is Status.WAITING else 0, each.priority)
        for each in reservations
        for position, line in enumerate(each.lines)
        for reserved in (line.reserved,)
    ]  # fmt: skip
    # COPY, because rows that only come in cost a third less than through arrays
    await unit.sql.copy_records_to_table("reservation_lines", columns=LINE_COLUMNS, records=lines)


async def update_lines(unit: Unit, reservations: Iterable[Reservation]) -> None:
    lines = [
        (each.order_id, line.line_id, line.reserved, line.requested - line.reserved)
        for each in reservations
        for line in each.lines
    ]
    await unit.sql.execute(UPDATE_LINES, *(list(column) for column in zip(*lines, strict=True)))


async def hold(unit: Unit, granted: Mapping[UUID, Sequence[Allocation]]) -> None:
    """For orders that hold nothing yet."""
    if granted:
        await unit.sql.copy_records_to_table("allocations", columns=HELD_COLUMNS, records=_rows(granted))


async def hold_more(unit: Unit, granted: Mapping[UUID, Sequence[Allocation]]) -> None:
    await unit.sql.execute(HOLD_MORE, *(list(column) for column in zip(*_rows(granted), strict=True)))


def _rows(granted: Mapping[UUID, Sequence[Allocation]]) -> list[tuple[UUID, str, str, str, int]]:
    return [(order_id, *allocation) for order_id, allocations in granted.items() for allocation in allocations]


async def decide(unit: Unit, reservations: Sequence[Reservation]) -> None:
    """Status and sequence of reservations that the unit has claimed or locked."""
    if reservations:
        await unit.sql.execute(
            DECIDE,
            [each.order_id for each in reservations],
            [each.status for each in reservations],
            [each.sequence for each in reservations],
            unit.now,
        )


async def held(unit: Unit, orders: Collection[UUID]) -> dict[UUID, list[Allocation]]:
    holding: dict[UUID, list[Allocation]] = defaultdict(list)
    for order_id, *allocation in await unit.sql.fetch(HELD, orders):
        holding[order_id].append(Allocation(*allocation))
    return holding


async def waited_for(unit: Unit, orders: Collection[UUID]) -> set[str]:
    return {row["item_id"] for row in await unit.sql.fetch(WAITED_FOR, orders)}


async def let_go(unit: Unit, orders: Collection[UUID]) -> None:
    """They hold nothing and wait for nothing from now on."""
    await unit.sql.execute(LET_GO, orders)
    await unit.sql.execute(CLOSE_LINES, orders)


class Locked(NamedTuple):
    reservation: Reservation
    correlation_id: UUID


async def lock_waiting(unit: Unit, orders: Collection[UUID]) -> dict[UUID, Locked]:
    """Those that still wait, with what they hold."""
    rows = await unit.sql.fetch(LOCK_WAITING, sorted(orders))
    found = {
        row["order_id"]: Locked(
            Reservation(
                row["order_id"], row["priority"], row["placed_at"], row["partial"], [], row["sequence"], Status.WAITING
            ),
            row["correlation_id"],
        )
        for row in rows
    }
    holding = await held(unit, list(found))
    for order_id, line_id, item_id, requested in await unit.sql.fetch(LINES, list(found)):
        holds = {each.location_id: each.quantity for each in holding[order_id] if each.line_id == line_id}
        found[order_id].reservation.lines.append(Line(line_id, item_id, requested, holds, sum(holds.values())))
    return found


async def queued(unit: Unit) -> tuple[list[int], list[str]]:
    """The entries of the release queue, and the items they name."""
    rows = await unit.sql.fetch(QUEUED)
    return [row["id"] for row in rows], sorted({row["item_id"] for row in rows})


async def dequeue(unit: Unit, entries: Collection[int]) -> None:
    await unit.sql.execute(DEQUEUE, entries)


async def candidates(unit: Unit, items: Collection[str], keeps_if_before: datetime, limit: int) -> list[Demand]:
    """Backorders that these items may serve, and those that set something aside from them, in their turn."""
    rows = await unit.sql.fetch(CANDIDATES, items, keeps_if_before, limit)
    return [
        Demand(
            order_id,
            priority,
            placed_at,
            partial,
            [Want(*want) for want in zip(line_ids, item_ids, quantities, strict=True)],
            keeps=not partial and placed_at < keeps_if_before,
        )
        for order_id, priority, placed_at, partial, line_ids, item_ids, quantities in rows
    ]


async def free(unit: Unit, items: Iterable[str]) -> dict[str, dict[str, int]]:
    places: dict[str, dict[str, int]] = defaultdict(dict)
    for item, location, units in await unit.sql.fetch(FREE, list(items)):
        places[item][location] = units
    return places
