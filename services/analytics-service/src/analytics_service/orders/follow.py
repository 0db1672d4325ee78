"""A projection of the orders of all partners: the status of each, and the lines that wait for stock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderEvent, OrderPlaced, OrderRejected

ORDERS_NOW: Final = "orders_now"

PLACE: Final = """
    INSERT INTO orders_now (order_id, partner, reference, status, since, placed_at, sequence, priority, currency, total,
                            lines, units)
    SELECT order_id, partner, reference, 'placed', placed_at, placed_at, sequence, priority, currency, total, lines,
           units
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::text[],
                $8::text[], $9::bigint[], $10::bigint[])
         AS new (order_id, partner, reference, placed_at, sequence, priority, currency, total, lines, units)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET placed_at = excluded.placed_at, priority = excluded.priority,
        currency = excluded.currency, total = excluded.total, lines = excluded.lines, units = excluded.units
"""

CHANGE: Final = """
    INSERT INTO orders_now AS old (order_id, partner, reference, status, since, placed_at, sequence, reason)
    SELECT order_id, partner, reference, status, since, since, sequence, reason
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::text[])
         AS new (order_id, partner, reference, status, since, sequence, reason)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, sequence = excluded.sequence,
        since = CASE WHEN old.status = excluded.status THEN old.since ELSE excluded.since END, reason = excluded.reason
    WHERE old.sequence < excluded.sequence
"""

PASS: Final = """
    UPDATE orders_now SET sequence = new.sequence
    FROM unnest($1::uuid[], $2::bigint[]) AS new (order_id, sequence)
    WHERE orders_now.order_id = new.order_id AND orders_now.sequence < new.sequence
"""

CLEAR: Final = "DELETE FROM waiting_lines WHERE order_id = ANY ($1::uuid[])"

WAIT: Final = """
    INSERT INTO waiting_lines (order_id, line_id, item_id, requested, reserved, backordered)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    ON CONFLICT (order_id, line_id) DO UPDATE SET item_id = excluded.item_id, requested = excluded.requested,
        reserved = excluded.reserved, backordered = excluded.backordered
"""

STATUS: Final = {
    "crossdock.OrderConfirmed.v1": "confirmed",
    "crossdock.OrderBackordered.v1": "backordered",
    "crossdock.OrderRejected.v1": "rejected",
    "crossdock.OrderCancelled.v1": "cancelled",
}
"""The status after each event. Events that are not listed change only the sequence."""


async def follow_orders(unit: Unit, batch: Sequence[Envelope[OrderEvent]]) -> None:
    """Apply events of one type. Of an order the last one counts, and its status began with the first one."""
    last = {each.event.order_id: each for each in batch}
    began = {each.event.order_id: each.time for each in reversed(batch)}
    placed = [(each, each.event) for each in last.values() if isinstance(each.event, OrderPlaced)]
    if placed:
        await unit.sql.execute(PLACE, *columns([_placement(*each) for each in placed]))
    changed = [each for each in last.values() if each.event.ce_type in STATUS]
    if changed:
        await unit.sql.execute(CHANGE, *columns([_change(each, began[each.event.order_id]) for each in changed]))
        await _wait(unit, [each.event for each in changed])
    if not placed and not changed:
        await unit.sql.execute(PASS, *columns([(id, each.sequence) for id, each in last.items()]))


async def _wait(unit: Unit, events: Sequence[OrderEvent]) -> None:
    await unit.sql.execute(CLEAR, [event.order_id for event in events])
    rows = [
        (event.order_id, line.line_id, line.item_id, line.requested, line.reserved, line.backordered)
        for event in events
        if isinstance(event, OrderBackordered)
        for line in event.lines
        if line.backordered
    ]
    if rows:
        await unit.sql.execute(WAIT, *columns(rows))


def _placement(envelope: Envelope[OrderEvent], event: OrderPlaced) -> tuple[object, ...]:
    return (
        event.order_id,
        event.partner,
        event.reference,
        envelope.time,
        envelope.sequence,
        event.priority,
        event.currency,
        str(event.total),
        len(event.lines),
        sum(line.quantity for line in event.lines),
    )


def _change(envelope: Envelope[OrderEvent], since: datetime) -> tuple[UUID, str, str, str, datetime, int, str | None]:
    event = envelope.event
    reason = event.reason if isinstance(event, (OrderRejected, OrderCancelled)) else None
    status = STATUS[event.ce_type]
    return event.order_id, event.partner, event.reference, status, since, envelope.sequence, reason
