"""The invariant of the orders of customers: each equals the fold of its events."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from crm_service.orders.follow import STATUS
from crossdock_chassis import AtRest, CheckAtRest, LogEvent
from crossdock_events.orders import OrderEvent

CHUNK: Final = 1_000

ROWS: Final = """
    SELECT order_id::text, partner, reference, external_id, status, since, placed_at, sequence, currency, total, reason,
           lines::text, waiting::text
    FROM customer_orders WHERE order_id = ANY ($1::uuid[])
"""


def fold(events: Sequence[LogEvent]) -> Mapping[str, Any]:
    """Return the row that an order must have after its events."""
    first = events[0]
    row: dict[str, Any] = {"external_id": "", "status": "placed", "since": first.time, "placed_at": first.time}
    row |= dict.fromkeys(("currency", "total", "reason", "lines", "waiting"))
    last = 0
    for event in events:
        if event.sequence <= last:  # a projection skips it too
            continue
        last = event.sequence
        if event.type != "crossdock.OrderPlaced.v1" and event.type not in STATUS:  # it changes nothing that is shown
            continue
        data = event.data
        row |= {"partner": data["partner"], "reference": data["reference"], "sequence": event.sequence}
        if event.type == "crossdock.OrderPlaced.v1":
            row |= {name: data[name] for name in ("currency", "total")}
            row["external_id"] = data.get("customer_id", "")
            row["lines"] = [[line[name] for name in ("line_id", "item_id", "quantity")] for line in data["lines"]]
        elif (status := STATUS.get(event.type)) is not None:
            row |= {"reason": data.get("reason"), "waiting": None}
            row |= {} if row["status"] == status else {"status": status, "since": event.time}
            if status == "backordered":
                lacking = [line for line in data["lines"] if line["backordered"]]
                row["waiting"] = [[line["item_id"], line["backordered"]] for line in lacking]
    return row


async def _not_the_orders(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.whole.events(OrderEvent).items())
    seen = 0
    while part := dict(islice(events, CHUNK)):
        stored = {row["order_id"]: _row(dict(row)) for row in await at_rest.sql.fetch(ROWS, list(part))}
        seen += len(stored)
        for order_id, own in part.items():
            expected, row = fold(own), stored.get(order_id, {})
            if order_id in at_rest.stuck or row == expected:
                continue
            names = sorted(name for name in expected if row.get(name) != expected[name])
            yield f"{order_id}: " + ", ".join(f"{name} is {row.get(name)!r}, not {expected[name]!r}" for name in names)
    if (count := await at_rest.sql.fetchval("SELECT count(*) FROM customer_orders")) != seen:
        yield f"{count - seen} orders have no event"


def _row(row: dict[str, Any]) -> dict[str, Any]:
    del row["order_id"]
    row["since"], row["placed_at"] = row["since"].isoformat(), row["placed_at"].isoformat()
    return row | {name: row[name] and json.loads(row[name]) for name in ("lines", "waiting")}


NOT_THE_ORDERS: Final = CheckAtRest(5, "other", "orders of customers that differ from their events", _not_the_orders)
CHECKS: Final = (NOT_THE_ORDERS,)
