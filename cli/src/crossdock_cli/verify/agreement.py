"""Check invariant 3 across two services by their topics. Each service itself checks its tables against its events."""

from collections.abc import Collection

from crossdock_chassis import LogEvent, Violation
from crossdock_cli.verify.log import Log
from crossdock_cli.verify.report import Findings
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRedacted,
    OrderRejected,
)
from crossdock_events.reservations import (
    ReservationEvent,
    StockBackordered,
    StockRejected,
    StockReleased,
    StockReserved,
)

NOT_AGREED = Violation(3, "other", "orders whose last event does not match their reservation")

NOTHING = ("nothing", False)
RESERVED, WAITING = (StockReserved.ce_type, False), (StockBackordered.ce_type, True)
PARTLY_RESERVED = (StockReserved.ce_type, True)
ANSWERS = {
    OrderPlaced.ce_type: {NOTHING},
    OrderConfirmed.ce_type: {RESERVED},
    OrderBackordered.ce_type: {WAITING, PARTLY_RESERVED},
    OrderRejected.ce_type: {(StockRejected.ce_type, False)},
    OrderCancelled.ce_type: {(StockReleased.ce_type, False)},
}
"""By the last event of an order: the last event of its reservation, and whether a line of that event lacks stock.

A redaction changes no status, so the event before it counts."""


def check(log: Log, stuck: Collection[str], found: Findings) -> None:
    """Skip `stuck` orders: an event of theirs waits in the dead letters until a person resolves it."""
    reservations = log.events(ReservationEvent)
    for order_id, events in log.events(OrderEvent).items():
        answer = _answer(reservations[order_id][-1]) if order_id in reservations else NOTHING
        last = next((each.type for each in reversed(events) if each.type != OrderRedacted.ce_type), "")
        if order_id not in stuck and answer not in ANSWERS.get(last, ()):
            found.add(NOT_AGREED, f"{order_id}: {_name(last)}, its reservation: {_name(answer[0])}")


def _answer(event: LogEvent) -> tuple[str, bool]:
    return event.type, any(line.get("backordered") for line in event.data["lines"])


def _name(ce_type: str) -> str:
    return ce_type.removeprefix("crossdock.")
