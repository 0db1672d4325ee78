"""A projection of the orders of customers: what each order asks for, its status, and the lines that lack stock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic_core import to_json

from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderEvent, OrderPlaced, OrderRejected

ORDERS: Final = "customer_orders"

PLACE: Final = """
    INSERT INTO customer_orders (order_id, partner, reference, external_id, status, since, placed_at, sequence,
                                 currency, total, lines)
    SELECT order_id, partner, reference, external_id, 'placed', placed_at, placed_at, sequence, currency, total, lines
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::text[],
                $8::text[], $9::jsonb[])
         AS new (order_id, partner, reference, external_id, placed_at, sequence, currency, total, lines)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET external_id = excluded.external_id, placed_at = excluded.placed_at,
        currency = excluded.currency, total = excluded.total, lines = excluded.lines
"""
CHANGE: Final = """
    INSERT INTO customer_orders AS old (order_id, partner, reference, status, since, placed_at, sequence, reason,
                                        waiting)
    SELECT order_id, partner, reference, status, since, since, sequence, reason, waiting
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::text[],
                $8::jsonb[])
         AS new (order_id, partner, reference, status, since, sequence, reason, waiting)
    ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, sequence = excluded.sequence,
        since = CASE WHEN old.status = excluded.status THEN old.since ELSE excluded.since END,
        reason = excluded.reason, waiting = excluded.waiting
    WHERE old.sequence < excluded.sequence
"""
STATUS: Final = {
    "crossdock.OrderConfirmed.v1": "confirmed",
    "crossdock.OrderBackordered.v1": "backordered",
    "crossdock.OrderRejected.v1": "rejected",
    "crossdock.OrderCancelled.v1": "cancelled",
}
"""The status after each event. Events that are not listed change no status."""


async def follow_orders(unit: Unit, batch: Sequence[Envelope[OrderEvent]]) -> None:
    """Apply events of one type. Of an order the last one counts, and its status began with the first one."""
    last = {each.event.order_id: each for each in batch}
    began = {each.event.order_id: each.time for each in reversed(batch)}
    placed = [_placement(each, each.event) for each in last.values() if isinstance(each.event, OrderPlaced)]
    if placed:
        await unit.sql.execute(PLACE, *columns(placed))
    changed = [_change(each, began[id]) for id, each in last.items() if each.event.ce_type in STATUS]
    if changed:
        await unit.sql.execute(CHANGE, *columns(changed))


def _placement(envelope: Envelope[OrderEvent], event: OrderPlaced) -> tuple[object, ...]:
    lines = [[line.line_id, line.item_id, line.quantity] for line in event.lines]
    return (
        event.order_id,
        event.partner,
        event.reference,
        event.customer_id or "",
        envelope.time,
        envelope.sequence,
        event.currency,
        str(event.total),
        to_json(lines).decode(),
    )


def _change(envelope: Envelope[OrderEvent], since: datetime) -> tuple[object, ...]:
    event = envelope.event
    reason = event.reason if isinstance(event, (OrderRejected, OrderCancelled)) else None
    waiting = None
    if isinstance(event, OrderBackordered):
        waiting = to_json([[line.item_id, line.backordered] for line in event.lines if line.backordered]).decode()
    status = STATUS[event.ce_type]
    return event.order_id, event.partner, event.reference, status, since, envelope.sequence, reason, waiting
