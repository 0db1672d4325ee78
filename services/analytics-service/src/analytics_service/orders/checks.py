"""The invariant of the orders that operators see: each equals the fold of its events."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from analytics_service.orders.follow import STATUS
from crossdock_chassis import AtRest, CheckAtRest, LogEvent
from crossdock_events.orders import OrderEvent

CHUNK: Final = 1_000

ROWS: Final = """
    SELECT order_id::text, partner, reference, status, since, placed_at, sequence, reason, priority, currency, total,
           lines, units,
           (SELECT jsonb_agg(jsonb_build_array(line_id, item_id, requested, reserved, backordered)
                             ORDER BY line_id COLLATE "C")::text
            FROM waiting_lines WHERE waiting_lines.order_id = orders_now.order_id) AS waiting
    FROM orders_now WHERE order_id = ANY ($1::uuid[])
"""
OTHERS: Final = "SELECT order_id::text FROM orders_now"
ORPHANS: Final = (
    "SELECT DISTINCT order_id::text FROM waiting_lines WHERE order_id NOT IN (SELECT order_id FROM orders_now)"
)


def fold(events: Sequence[LogEvent]) -> Mapping[str, Any]:
    """Return the row that an order must have after its events."""
    first = events[0]
    row: dict[str, Any] = {"status": "placed", "since": first.time, "placed_at": first.time, "reason": None}
    row |= {"priority": None, "currency": None, "total": None, "lines": None, "units": None, "waiting": None}
    last = 0
    for event in events:
        if event.sequence <= last:  # a projection skips it too
            continue
        data, last = event.data, event.sequence
        row |= {"partner": data["partner"], "reference": data["reference"], "sequence": event.sequence}
        if event.type == "crossdock.OrderPlaced.v1":
            row |= {name: data[name] for name in ("priority", "currency", "total")}
            row |= {"lines": len(data["lines"]), "units": sum(line["quantity"] for line in data["lines"])}
        elif (status := STATUS.get(event.type)) is not None:
            row |= {"reason": data.get("reason"), "waiting": None}
            row |= {} if row["status"] == status else {"status": status, "since": event.time}
            if status == "backordered":
                row["waiting"] = _waiting(data["lines"])
    return row


def _waiting(lines: Sequence[Mapping[str, Any]]) -> list[list[Any]] | None:
    fields = ("line_id", "item_id", "requested", "reserved", "backordered")
    return sorted([line[name] for name in fields] for line in lines if line["backordered"]) or None


async def _not_the_orders(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.whole.events(OrderEvent).items())
    seen: set[str] = set()
    while part := dict(islice(events, CHUNK)):
        seen |= part.keys()
        stored = {row["order_id"]: _row(dict(row)) for row in await at_rest.sql.fetch(ROWS, list(part))}
        for order_id, own in part.items():
            expected, row = fold(own), stored.get(order_id, {})
            if order_id in at_rest.stuck or row == expected:
                continue
            names = sorted(name for name in expected if row.get(name) != expected[name])
            yield f"{order_id}: " + ", ".join(f"{name} is {row.get(name)!r}, not {expected[name]!r}" for name in names)
    async for (order_id,) in at_rest.sql.cursor(OTHERS, prefetch=CHUNK):
        if order_id not in seen:
            yield f"{order_id} is shown, and has no event"
    for (order_id,) in await at_rest.sql.fetch(ORPHANS):
        yield f"lines of {order_id} wait, and the order is not shown"


def _row(row: dict[str, Any]) -> dict[str, Any]:

    del row["order_id"]
    row["since"], row["placed_at"] = row["since"].isoformat(), row["placed_at"].isoformat()
    row["waiting"] = row["waiting"] and json.loads(row["waiting"])
    return row


NOT_THE_ORDERS: Final = CheckAtRest(5, "other", "shown orders that differ from their events", _not_the_orders)

CHECKS: Final = (NOT_THE_ORDERS,)
