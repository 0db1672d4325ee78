"""Read and write reservations, many at a time. A row of `reservations` is locked before any stock head."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from crossdock_chassis import Unit
from crossdock_events import Cause, Envelope
from crossdock_events.orders import OrderPlaced
from inventory_service.reservations.model import (
    PRIORITIES,
    Allocation,
    Holder,
    Reservation,
    Status,
    Turn,
    Want,
    sort_key,
)
from inventory_service.stock import store as stocks
from inventory_service.stock.model import Head, Place, Stock

TURN = "priority DESC, placed_at, order_id"
MANY: Final = 50

# This unit decides the returned orders. The other orders were decided or cancelled before.
CLAIM = """
    INSERT INTO reservations (order_id, status, sequence, priority, partial, placed_at, correlation_id, changed_at)
    SELECT order_id, 'open', 1, priority, partial, placed_at, correlation_id, $6
    FROM unnest($1::uuid[], $2::smallint[], $3::boolean[], $4::timestamptz[], $5::uuid[])
         AS new (order_id, priority, partial, placed_at, correlation_id)
    ORDER BY order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id
"""

# This also bars an order that has not arrived yet.
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

LOCK = "SELECT FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR UPDATE"

ITEMS = "SELECT DISTINCT item_id FROM reservation_lines WHERE order_id = ANY($1::uuid[])"

LOCK_WAITING = """
    SELECT order_id, sequence, priority, correlation_id FROM reservations
    WHERE order_id = ANY($1::uuid[]) AND status = 'waiting' ORDER BY order_id FOR UPDATE
"""

LOCK_HOLDING = """
    SELECT order_id, sequence, priority, correlation_id FROM reservations
    WHERE order_id = ANY($1::uuid[]) AND status IN ('open', 'waiting') ORDER BY order_id FOR UPDATE
"""

# The orders from which `model.withdraw` takes the $3 units that are missing of each item $1 and location $2. Each place
# has its own running total, because an order gives up stock at one place whether or not it has lost stock at another.
HOLDERS = f"""
    WITH held AS (
        SELECT item_id, location_id, order_id, missing, sum(quantity) AS quantity
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS short (item_id, location_id, missing)
        JOIN allocations USING (item_id, location_id)
        WHERE allocations.item_id = ANY($1::text[])
        GROUP BY item_id, location_id, order_id, missing
    ), counted AS (
        SELECT order_id, reservation.priority, placed_at, partial, missing, held.quantity,
               sum(held.quantity) OVER (
                   PARTITION BY item_id, location_id ORDER BY {sort_key("reservation", reverse=True)}
               ) AS up_to_here
        FROM held JOIN reservations AS reservation USING (order_id)
    )
    SELECT DISTINCT order_id, priority, placed_at, partial FROM counted
    WHERE up_to_here - quantity < missing LIMIT $4
"""

WITHDRAW = """
    WITH lost AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
             AS lost (order_id, line_id, location_id, quantity)
    ), fewer AS (
        UPDATE allocations SET quantity = allocations.quantity - lost.quantity FROM lost
        WHERE allocations.order_id = lost.order_id AND allocations.line_id = lost.line_id
          AND allocations.location_id = lost.location_id AND allocations.quantity > lost.quantity
          AND allocations.order_id = ANY($1::uuid[])
    )
    DELETE FROM allocations USING lost
    WHERE allocations.order_id = lost.order_id AND allocations.line_id = lost.line_id
      AND allocations.location_id = lost.location_id AND allocations.quantity = lost.quantity
      AND allocations.order_id = ANY($1::uuid[])
"""

# `ANY` repeats the join condition here and below, so that a plan made on empty tables uses the key.
DECIDE = """
    UPDATE reservations SET status = new.status, sequence = new.sequence, changed_at = $4
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS new (order_id, status, sequence)
    WHERE reservations.order_id = new.order_id AND reservations.order_id = ANY($1::uuid[])
"""

UPDATE_LINES = """
    UPDATE reservation_lines SET reserved = new.reserved, waiting = new.waiting
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS new (order_id, line_id, reserved, waiting)
    WHERE reservation_lines.order_id = new.order_id AND reservation_lines.line_id = new.line_id
      AND reservation_lines.order_id = ANY($1::uuid[])
"""

HELD = """
    SELECT order_id, line_id, item_id, location_id, quantity
    FROM allocations JOIN reservation_lines AS line USING (order_id, line_id, item_id)
    WHERE allocations.order_id = ANY($1::uuid[]) AND line.order_id = ANY($1::uuid[])
    ORDER BY order_id, position, location_id
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

LOOK = "SELECT * FROM reservations_look($1)"

LOOK_MANY = "SELECT * FROM reservations_look_many($1)"
"""The same, with a plan for as many items. A plan for any number takes quadratic time: 19 ms for 700 items, not 2."""

# As many lines of an item as it has free units are enough: they want all of these units already.
AHEAD = f"""
    SELECT free.item_id, priority, sum(waiting)::bigint AS units
    FROM unnest($1::text[], $2::bigint[]) AS free (item_id, units)
    CROSS JOIN LATERAL (
        SELECT priority, waiting FROM reservation_lines AS line
        WHERE line.item_id = free.item_id AND waiting > 0 ORDER BY {TURN} LIMIT free.units
    ) AS line
    GROUP BY free.item_id, priority
"""


async def claim(unit: Unit, batch: Iterable[Envelope[OrderPlaced]]) -> set[UUID]:
    """Claim new orders. Return the orders that were not decided or cancelled before.

    An optimistic unit takes all for new, and `reserve` finds out.
    """
    if unit.optimistic:
        return {placed.event.order_id for placed in batch}
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
    """Lock and release orders. Return their sequences, without the orders that were released before."""
    rows = await unit.sql.fetch(BAR, list(causes), [cause.correlation_id for cause in causes.values()], unit.now)
    return {row["order_id"]: row["sequence"] for row in rows}


async def lock_status(unit: Unit, order_id: UUID) -> Status | None:
    """Lock an order and return its status, or None if it has no reservation."""
    found = await unit.sql.fetchval("SELECT status FROM reservations WHERE order_id = $1 FOR UPDATE", order_id)
    return None if found is None else Status(found)


async def lock(unit: Unit, orders: Collection[UUID]) -> set[str]:
    """Lock the reservations of orders and return their items."""
    if not orders:
        return set()
    await unit.sql.execute(LOCK, sorted(orders))
    return {row["item_id"] for row in await unit.sql.fetch(ITEMS, orders)}


class Found(NamedTuple):
    """`locations` have any of the items, in sourcing order. `waited_for` is true if backorders want any of them."""

    stock: Stock
    locations: list[str]
    discontinued: set[str]
    waited_for: bool


async def look(unit: Unit, items: Collection[str]) -> Found:
    """Read everything that decides new orders for the items, of which those that exist have a head.

    An ordinary unit must have locked the heads. For an optimistic one `reserve` compares them with what was read.
    """
    heads: dict[str, Head] = {}
    levels: dict[str, dict[str, list[int]]] = {}
    ranks: dict[str, int] = {}
    discontinued: set[str] = set()
    rows = await unit.sql.fetch(LOOK if len(items) < MANY else LOOK_MANY, list(items))
    for item, version, sequence, causes, gone, location, rank, on_hand, reserved, _ in rows:
        if item not in heads:
            heads[item], levels[item] = Head(version, sequence, causes or ()), {}
        if gone:
            discontinued.add(item)
        if location is not None:
            levels[item][location] = [on_hand, reserved]
            ranks[location] = rank
    locations = sorted(ranks, key=lambda location: (ranks[location], location))
    return Found(Stock(heads, levels), locations, discontinued, bool(rows) and rows[0]["waited_for"])


async def ahead(unit: Unit, free: Mapping[str, Mapping[str, int]]) -> dict[str, list[int]]:
    """Return the demand of backorders for free stock, by item and priority, up to the free units.

    The unit must hold the heads of the items.
    """
    units = {item: sum(places.values()) for item, places in free.items() if places}
    waiting: dict[str, list[int]] = {}
    for item, priority, wanted in await unit.sql.fetch(AHEAD, list(units), list(units.values())):
        waiting.setdefault(item, [0] * len(PRIORITIES))[priority] = wanted
    return waiting


Part: TypeAlias = tuple[int, str, str, int | None, int | None, int | None, str | None, int | None]
"""A part of a line that gets its stock at one place: the parameters `numbers` to `quantities` of the functions."""


async def reserve(
    unit: Unit, reservations: Sequence[Reservation], placed: Sequence[Envelope[OrderPlaced]], stock: Stock
) -> None:
    """Write new orders, their lines and their stock. An ordinary unit must have claimed the orders.

    Only the first part of a split line has the line's numbers.
    """
    parts: list[Part] = []
    for number, each in enumerate(reservations, 1):
        for position, (line_id, item_id, requested) in enumerate(each.lines):
            places = each.held.get(line_id)
            if not places:
                parts.append((number, line_id, item_id, position, requested, 0, None, None))
                continue
            (location, quantity), *others = places.items()
            reserved = sum(places.values()) if others else quantity
            parts.append((number, line_id, item_id, position, requested, reserved, location, quantity))
            parts += [(number, line_id, item_id, None, None, None, *other) for other in others]
    arguments = _held(unit, reservations, [each.as_cause() for each in placed], parts, stock)
    if unit.optimistic:
        now = {each.item_id for each in stock.changed() if each.at_once}
        unit.call(
            "reservations_reserve",
            *arguments,
            [each.status for each in reservations],
            [each.sequence for each in reservations],
            [each.cause.correlation_id for each in placed],
            list(stock.heads),
            [head.version for head in stock.heads.values()],
            [head.sequence if item in now else None for item, head in stock.heads.items()],
        )
        return
    await unit.run("reservations_hold", *arguments)
    await decide(unit, [each for each in reservations if each.status is not Status.OPEN])


async def hold_more(
    unit: Unit,
    reservations: Sequence[Reservation],
    granted: Mapping[UUID, Sequence[Allocation]],
    causes: Sequence[Cause],
    stock: Stock,
) -> None:
    """Add granted stock to orders whose lines are already written."""
    parts: list[Part] = [
        (number, line_id, item_id, None, None, None, location, quantity)
        for number, each in enumerate(reservations, 1)
        for line_id, item_id, location, quantity in granted[each.order_id]
    ]
    await unit.run("reservations_hold_more", *_held(unit, reservations, causes, parts, stock))


def _held(
    unit: Unit, reservations: Sequence[Reservation], causes: Sequence[Cause], parts: Sequence[Part], stock: Stock
) -> list[object]:
    """Return the parameters that the functions share."""
    return [
        [each.order_id for each in reservations],
        [cause.causation_id or cause.correlation_id for cause in causes],
        [each.priority for each in reservations],
        [each.status is Status.WAITING for each in reservations],
        *zip(*parts, strict=True),
        *stocks.marks(stock),
        unit.now,
        [each.placed_at for each in reservations],
        [each.partial for each in reservations],
    ]


async def update_lines(unit: Unit, reservations: Iterable[Reservation]) -> None:
    lines = [
        (each.order_id, line_id, reserved, requested - reserved)
        for each in reservations
        for line_id, _, requested in each.lines
        for reserved in (each.reserved(line_id),)
    ]
    await unit.sql.execute(UPDATE_LINES, *(list(column) for column in zip(*lines, strict=True)))


async def decide(unit: Unit, reservations: Sequence[Reservation]) -> None:
    """Write status and sequence of reservations that the unit has claimed or locked."""
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
    """Delete the allocations of orders and close their lines, so that they hold nothing and wait for nothing."""
    await unit.sql.execute(LET_GO, orders)
    await unit.sql.execute(CLOSE_LINES, orders)


class Locked(NamedTuple):
    reservation: Reservation
    correlation_id: UUID


async def lock_waiting(unit: Unit, orders: Collection[UUID]) -> dict[UUID, Locked]:
    """Lock and return the orders that still wait, with the stock that they hold."""
    return await _with_lines(unit, await unit.sql.fetch(LOCK_WAITING, sorted(orders)))


async def lock_holding(unit: Unit, orders: Collection[UUID], *, wait: bool = True) -> dict[UUID, Reservation]:
    """Lock and return the orders that have not ended. Without `wait`, raise a lock error if another unit has one."""
    rows = await unit.sql.fetch(LOCK_HOLDING + ("" if wait else " NOWAIT"), sorted(orders))
    return {order_id: locked.reservation for order_id, locked in (await _with_lines(unit, rows)).items()}


async def _with_lines(unit: Unit, rows: Sequence[asyncpg.Record]) -> dict[UUID, Locked]:
    lines: dict[UUID, list[Want]] = {row["order_id"]: [] for row in rows}
    for order_id, *line in await unit.sql.fetch(LINES, list(lines)):
        lines[order_id].append(Want(*line))
    found = {
        order_id: Locked(Reservation(order_id, priority, lines[order_id], sequence), correlation_id)
        for order_id, sequence, priority, correlation_id in rows
    }
    for order_id, allocations in (await held(unit, list(found))).items():
        found[order_id].reservation.grant(allocations)
    return found


async def holders(unit: Unit, missing: Mapping[Place, int], limit: int) -> list[Holder]:
    """Return up to `limit` orders from which `withdraw` takes the missing units, with everything that they hold."""
    places = [list(column) for column in zip(*missing, strict=True)]
    rows = await unit.sql.fetch(HOLDERS, *places, list(missing.values()), limit)
    holding = await held(unit, [row["order_id"] for row in rows])
    return [
        Holder(Turn(-priority, placed_at, order_id), partial, holding[order_id])
        for order_id, priority, placed_at, partial in rows
    ]


async def withdraw(unit: Unit, withdrawn: Mapping[UUID, Sequence[Allocation]]) -> None:
    """Delete withdrawn allocations, and reduce the allocations that are withdrawn in part."""
    parts = [
        (order_id, line_id, location, quantity)
        for order_id, allocations in withdrawn.items()
        for line_id, _, location, quantity in allocations
    ]
    await unit.sql.execute(WITHDRAW, *(list(column) for column in zip(*parts, strict=True)))
