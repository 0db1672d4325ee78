"""Invariants of reservations: they equal the ledger and the topics, and no backorder waits while stock is free."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from crossdock_chassis import GIVEN_IDS, AtRest, Check, CheckAtRest, LogEvent
from crossdock_events.orders import OrderCancelled, OrderEvent, OrderPlaced, OrderRejected
from crossdock_events.reservations import (
    ReservationEvent,
    StockBackordered,
    StockRejected,
    StockReleased,
    StockReserved,
)
from inventory_service.reservations.model import Demand, Status, Want

UNSETTLED = """
    SELECT format('%s items of inventory-service are to be released to those who wait', count(*))
    FROM release_queue HAVING count(*) > 0
"""

HELD = Check(
    3,
    "oversold",
    "levels whose reserved stock differs from the allocations of orders",
    """
    SELECT format('%s at %s: %s reserved, orders hold %s', item_id, location_id,
                  coalesce(level.reserved, 0), coalesce(held.quantity, 0))
    FROM levels AS level
    FULL JOIN (
        SELECT item_id, location_id, sum(quantity) AS quantity FROM allocations GROUP BY 1, 2
    ) AS held USING (item_id, location_id)
    WHERE coalesce(level.reserved, 0) <> coalesce(held.quantity, 0)
    ORDER BY item_id, location_id
    """,
)

# The status of an order decides what its lines may hold: everything, a part, or nothing.
LINES = Check(
    3,
    "other",
    "lines that differ from their allocations, or from the status or turn of their order",
    """
    SELECT format('line %s of %s (%s): %s requested, %s reserved, %s waited for, %s held', line_id, order_id,
                  coalesce(reservation.status, 'no reservation'), line.requested, line.reserved, line.waiting,
                  coalesce(held.quantity, 0))
    FROM reservation_lines AS line
    LEFT JOIN reservations AS reservation USING (order_id)
    LEFT JOIN (
        SELECT order_id, line_id, item_id, sum(quantity) AS quantity FROM allocations GROUP BY 1, 2, 3
    ) AS held USING (order_id, line_id, item_id)
    WHERE line.reserved <> coalesce(held.quantity, 0)
       OR CASE reservation.status
              WHEN 'open' THEN line.reserved <> line.requested OR line.waiting <> 0
              WHEN 'waiting' THEN line.waiting <> line.requested - line.reserved
              ELSE line.reserved <> 0 OR line.waiting <> 0 OR reservation.status IS NULL
          END
    UNION ALL
    SELECT format('line %s of %s: priority %s, placed at %s, partial %s; its order: %s, %s, %s', line_id, order_id,
                  line.priority, line.placed_at, line.partial, reservation.priority, reservation.placed_at,
                  reservation.partial)
    FROM reservation_lines AS line JOIN reservations AS reservation USING (order_id)
    WHERE (line.priority, line.placed_at, line.partial)
        IS DISTINCT FROM (reservation.priority, reservation.placed_at, reservation.partial)
    UNION ALL
    SELECT format('%s is %s, its lines are not', order_id, status) FROM reservations AS reservation
    WHERE status IN ('open', 'waiting')
      AND (SELECT coalesce(bool_or(waiting > 0), false) FROM reservation_lines WHERE order_id = reservation.order_id)
          <> (status = 'waiting')
    ORDER BY 1
    """,
)

ORPHANS = Check(
    3,
    "other",
    "allocations without a line",
    """
    SELECT format('line %s of %s: %s at %s', line_id, order_id, item_id, location_id) FROM allocations
    LEFT JOIN reservation_lines USING (order_id, line_id, item_id)
    WHERE reservation_lines.order_id IS NULL ORDER BY 1
    """,
)

EFFECT = Check(
    4,
    "duplicated",
    "movements of an order that differ from its allocations",
    """
    SELECT format('line %s of %s, %s at %s: %s moved, %s held', line_id, order_id, item_id, location_id,
                  coalesce(moved.quantity, 0), coalesce(held.quantity, 0))
    FROM (
        SELECT reference AS order_id, line_id, location_id, item_id, sum(reserved) AS quantity FROM movements
        WHERE kind IN ('reservation', 'release', 'withdrawal') GROUP BY 1, 2, 3, 4
    ) AS moved
    FULL JOIN (
        SELECT order_id::text AS order_id, line_id, location_id, item_id, quantity FROM allocations
    ) AS held USING (order_id, line_id, location_id, item_id)
    WHERE coalesce(moved.quantity, 0) <> coalesce(held.quantity, 0)
    ORDER BY 1
    """,
)

ROWS = """
    SELECT order_id::text, status, sequence, priority, partial, placed_at, correlation_id::text, changed_at,
           line.lines::text, held.held::text
    FROM reservations
    LEFT JOIN (
        SELECT order_id, json_agg(json_build_array(line_id, item_id, requested) ORDER BY position) AS lines
        FROM reservation_lines GROUP BY order_id
    ) AS line USING (order_id)
    LEFT JOIN (
        SELECT order_id, json_agg(json_build_array(line_id, location_id, quantity)) AS held
        FROM allocations GROUP BY order_id
    ) AS held USING (order_id)
"""

WAITING = """
    SELECT order_id, reservation.priority, reservation.placed_at, reservation.partial,
           NOT reservation.partial AND reservation.placed_at < now() - $1::interval AS keeps,
           array_agg(line_id) FILTER (WHERE item.status = 'active') AS line_ids,
           array_agg(item_id) FILTER (WHERE item.status = 'active') AS item_ids,
           array_agg(waiting) FILTER (WHERE item.status = 'active') AS quantities
    FROM reservations AS reservation JOIN reservation_lines AS line USING (order_id)
    LEFT JOIN items AS item USING (item_id)
    WHERE reservation.status = 'waiting' AND line.waiting > 0
    GROUP BY order_id, reservation.priority, reservation.placed_at, reservation.partial
    HAVING bool_or(item.status = 'active')
       AND (reservation.partial OR bool_and(coalesce(item.status, '') = 'active'))
"""

FREE = "SELECT item_id, sum(on_hand - reserved)::bigint AS units FROM levels GROUP BY item_id"

ENDED = {OrderCancelled.ce_type: "cancelled", OrderRejected.ce_type: "rejected"}
STATUS_AFTER = {
    StockBackordered.ce_type: Status.WAITING,
    StockRejected.ce_type: Status.REJECTED,
    StockReleased.ce_type: Status.RELEASED,
}
HOLDING = (StockReserved.ce_type, StockBackordered.ce_type)


class Row(NamedTuple):
    """A reservation with its lines as (line, item, requested) and its allocations as (line, location, quantity).

    Lines are in the sequence of the order, allocations are sorted.
    """

    order_id: str
    status: str
    sequence: int
    priority: int | None
    partial: bool
    placed_at: datetime | None
    correlation_id: str
    changed_at: datetime
    lines: list[tuple[str, str, int]]
    held: list[tuple[str, str, int]]

    @property
    def described(self) -> str:
        return ", ".join(f"{n} for line {line} at {location}" for line, location, n in self.held) or "nothing"


async def _rows(at_rest: AtRest) -> AsyncIterator[Row]:
    async for *columns, lines, held in at_rest.sql.cursor(ROWS, prefetch=500):
        yield Row._make([*columns, _triples(lines), sorted(_triples(held))])


def _triples(text: str | None) -> list[tuple[str, str, int]]:
    return [(first, second, number) for first, second, number in json.loads(text or "[]")]


async def _holds_after_end(at_rest: AtRest) -> AsyncIterator[str]:
    orders = at_rest.log.events(OrderEvent)
    async for row in _rows(at_rest):
        ended = ENDED.get(orders[row.order_id][-1].type) if row.order_id in orders else None
        if ended and row.held and row.order_id not in at_rest.stuck:
            yield f"{row.order_id} is {ended} and holds {row.described}"


async def _not_asked(at_rest: AtRest) -> AsyncIterator[str]:
    orders = at_rest.log.events(OrderEvent)
    async for row in _rows(at_rest):
        placed = orders.get(row.order_id, ())[:1]
        if not placed or placed[0].type != OrderPlaced.ce_type or row.order_id in at_rest.stuck:
            continue
        asked = [(line["line_id"], line["item_id"], line["quantity"]) for line in placed[0].data["lines"]]
        if row.lines and row.lines != asked:
            yield f"{row.order_id} asked for {asked}, reserved for {row.lines}"
        elif difference := _other_turn(row, placed[0]):
            yield f"{row.order_id}: {difference}"
        elif row.status == Status.OPEN and _by_line(row) != {line: quantity for line, _, quantity in asked}:
            yield f"{row.order_id} is open and holds {row.described} of {asked}"


def _other_turn(row: Row, placed: LogEvent) -> str | None:
    """Return how the turn or the cause of a reservation differs from its order. A tombstone has no turn."""
    at = row.placed_at and row.placed_at.isoformat()
    if not row.lines:
        tombstone = (row.priority, at, row.partial) == (None, None, False)
        return None if tombstone else "it has no lines, but a priority, a time or partial"
    there = row.priority, row.partial, at, row.correlation_id
    expected = placed.data["priority"], placed.data["partial"], placed.time, placed.correlation_id
    return None if there == expected else f"priority, partial, time and request are {there}, its order has {expected}"


def _by_line(row: Row) -> dict[str, int]:
    held: dict[str, int] = defaultdict(int)
    for line, _, quantity in row.held:
        held[line] += quantity
    return held


async def _no_order(at_rest: AtRest) -> AsyncIterator[str]:
    orders = at_rest.log.events(OrderEvent)
    async for order_id, status in at_rest.sql.cursor("SELECT order_id::text, status FROM reservations", prefetch=500):
        if order_id not in orders and order_id not in at_rest.stuck:
            yield f"{order_id} ({status})"


async def _reserved_twice(at_rest: AtRest) -> AsyncIterator[str]:
    for order_id, events in at_rest.log.events(ReservationEvent).items():
        types = [event.type for event in events]
        if StockReleased.ce_type in types[:-1] or StockRejected.ce_type in types[1:]:
            yield f"{order_id}: {', '.join(each.removeprefix('crossdock.') for each in types)}"


RESERVATIONS = f"SELECT order_id::text FROM reservations WHERE order_id IN {GIVEN_IDS}"


async def _not_said(at_rest: AtRest) -> AsyncIterator[str]:
    topic = at_rest.log.events(ReservationEvent)
    async for row in _rows(at_rest):
        if row.order_id not in topic:
            yield f"{row.order_id} has a reservation and no event"
            continue
        last = topic[row.order_id][-1]
        lines = last.data["lines"]
        status = STATUS_AFTER.get(last.type) or _status(lines)
        if (status, last.sequence) != (row.status, row.sequence):
            there = f"{row.status} after {row.sequence} events"
            yield f"{row.order_id} is {there}, the topic has {status} after {last.sequence}"
        elif row.changed_at.isoformat() != last.time:
            yield f"{row.order_id} changed at {row.changed_at.isoformat()}, the topic has {last.time}"
        elif last.type in HOLDING and _allocations(lines) != row.held:
            yield f"{row.order_id} holds {row.described}, the topic has other allocations"
    async for order_id in at_rest.without_row(ReservationEvent, RESERVATIONS):
        yield f"{order_id} has events and no reservation"


def _status(lines: Sequence[Mapping[str, Any]]) -> Status:
    return Status.WAITING if any(line["backordered"] for line in lines) else Status.OPEN


def _allocations(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    return sorted((line["line_id"], a["location_id"], a["quantity"]) for line in lines for a in line["allocations"])


async def _waits_in_vain(earmark_after: timedelta, at_rest: AtRest) -> AsyncIterator[str]:
    """Serve the backorders in their turn from the free totals, and yield each that gets something.

    The turn is `Demand.turn`, because it is a definition. `servable` is not used, because it calls `allocate` as the
    release job does: an `allocate` that serves too few orders would then confirm its own result.
    """
    free = {row["item_id"]: row["units"] for row in await at_rest.sql.fetch(FREE)}
    earmarked: dict[str, int] = defaultdict(int)
    rows = await at_rest.sql.fetch(WAITING, earmark_after)
    for demand in sorted((_demand(*row) for row in rows), key=lambda each: each.turn):
        needs: dict[str, int] = defaultdict(int)
        for want in demand.lines:
            needs[want.item_id] += want.quantity
        usable = {item: min(units, max(0, free.get(item, 0) - earmarked[item])) for item, units in needs.items()}
        if any(usable.values()) if demand.partial else usable == needs:
            yield f"{demand.order_id}: {usable} is free"
            for item, units in usable.items():
                free[item] = free.get(item, 0) - units
        elif demand.earmarks:
            for item, units in usable.items():
                earmarked[item] += units


def _demand(
    order_id: UUID,
    priority: int,
    placed_at: datetime,
    partial: bool,
    keeps: bool,
    line_ids: list[str],
    item_ids: list[str],
    quantities: list[int],
) -> Demand:
    wants = [Want(*want) for want in zip(line_ids, item_ids, quantities, strict=True)]
    return Demand(order_id, priority, placed_at, partial, wants, keeps)


HOLDS_AFTER_END = CheckAtRest(3, "other", "ended orders that still hold stock", _holds_after_end)
NOT_ASKED = CheckAtRest(3, "other", "reservations whose lines, turn or request differ from their order", _not_asked)
NO_ORDER = CheckAtRest(3, "other", "reservations without an order", _no_order)
RESERVED_TWICE = CheckAtRest(
    4, "duplicated", "orders reserved again after their end, or released twice", _reserved_twice
)
NOT_SAID = CheckAtRest(5, "other", "reservations that differ from their latest event", _not_said)


def waits_in_vain(earmark_after: timedelta) -> CheckAtRest:
    return CheckAtRest(
        7,
        "other",
        "backorders that wait although unreserved stock could serve them",
        partial(_waits_in_vain, earmark_after),
    )


CHECKS = (HELD, LINES, ORPHANS, EFFECT, HOLDS_AFTER_END, NOT_ASKED, NO_ORDER, RESERVED_TWICE, NOT_SAID)
