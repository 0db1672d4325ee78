"""Compare a stored order with its own history and document, and with its events. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from crossdock_chassis import LogEvent, exactly, fingerprint_of
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRedacted,
    OrderRejected,
)
from order_service.orders.destination import destination_of
from order_service.orders.draft import Address
from order_service.orders.model import Status
from order_service.orders.money import total_of
from order_service.orders.redacted import PERSONAL, fingerprint_of_redacted

STATUS_AFTER: Final[Mapping[str, Status]] = {
    OrderPlaced.ce_type: Status.PLACED,
    OrderConfirmed.ce_type: Status.CONFIRMED,
    OrderBackordered.ce_type: Status.BACKORDERED,
    OrderRejected.ce_type: Status.REJECTED,
    OrderCancelled.ce_type: Status.CANCELLED,
}

NAMES: Final = ("reference", "replaces", "customer_id")
"""The members of the document that have a column of their own."""

CONTENT: Final = ("priority", "requested_date", "partial", "currency", "total")
"""The members of the document that `OrderPlaced` has in the same form."""

Json: TypeAlias = Mapping[str, Any]


class StoredOrder(NamedTuple):
    """A row of `orders` with its JSON parsed. Absent members of `waiting` and empty ones are the same."""

    id: str
    partner: str
    reference: str
    replaces: str | None
    customer_id: str | None
    fingerprint: bytes
    status: str
    version: int
    reservation_sequence: int
    placed_at: datetime
    decided_at: datetime | None
    redacted_at: datetime | None
    redacted_fingerprint: bytes | None
    waiting: Json
    document: Json
    base_quantities: Mapping[str, int]
    history: Sequence[Json]


class State(NamedTuple):
    """The columns of an order that follow from its history."""

    status: str | None
    version: int
    placed_at: datetime | None
    decided_at: datetime | None
    waiting_since: datetime | None
    waiting_lines: Sequence[Json]
    redacted_at: datetime | None


def wrong_in(order: StoredOrder) -> str | None:
    """Return the first column that does not follow from the history or the document, None if all columns do."""
    document = order.document
    if differing := _first_difference(zip(State._fields, _stored(order), _fold(order.history), strict=True)):
        return f"{differing} does not follow from the history"
    if differing := _first_difference((name, getattr(order, name), document.get(name)) for name in NAMES):
        return f"{differing} differs from the document"
    if order.redacted_at is None and order.fingerprint != fingerprint_of(document):
        return "fingerprint differs from that of the document"
    if order.redacted_at is not None and (left := [name for name in PERSONAL if document.get(name)]):
        return f"{', '.join(left)} is left in a redacted document"
    redacted = None if order.redacted_at is None else fingerprint_of_redacted(order.fingerprint, document)
    if order.redacted_fingerprint != redacted:
        return "redacted_fingerprint differs from that of the fingerprint and the document"
    amounts = (Decimal(line["amount"]) for line in document["lines"])
    discounts = (Decimal(each["amount"]) for each in document["discounts"])
    total = total_of(amounts, discounts, Decimal(document["shipping"]), Decimal(document["tax"]))
    return None if total == Decimal(document["total"]) else f"total is not {total}, the sum of its parts"


def _stored(order: StoredOrder) -> State:
    since, lines = _time(order.waiting.get("since")), order.waiting.get("lines", ())
    return State(
        order.status, order.version, order.placed_at, order.decided_at, since, _sorted(lines), order.redacted_at
    )


def _fold(history: Sequence[Json]) -> State:
    """Apply the entries in their order, as the model applies answers."""
    status = decided = since = redacted = None
    lines: dict[str, Json] = {}
    for entry in history:
        if entry["type"] == OrderRedacted.ce_type:
            redacted = redacted or entry["time"]
            continue
        after, time = STATUS_AFTER.get(entry["type"]), entry["time"]
        if after is not status:
            status, decided = after, None if after is Status.PLACED else time
        since = (since or time) if after is Status.BACKORDERED else None
        changed = {line["line_id"]: line for line in entry.get("lines", ())}
        lines = lines | changed if after is Status.BACKORDERED else {}
    version = history[-1]["sequence"] if history else 0
    placed = history[0]["time"] if history else None
    waiting = [line for line in lines.values() if line["backordered"]]
    return State(status, version, _time(placed), _time(decided), _time(since), _sorted(waiting), _time(redacted))


def _sorted(lines: Iterable[Json]) -> Sequence[Json]:
    return sorted(lines, key=lambda line: str(line["line_id"]))


def unlike_events(order: StoredOrder, events: Sequence[LogEvent], answers: Sequence[LogEvent]) -> str | None:
    """Return the first difference between an order and its events, None if there is none.

    `answers` are the events of its reservation, which the history names as causes.
    """
    if len(events) != len(order.history):
        return f"the history has {len(order.history)} events, the topic has {len(events)}"
    causes = {answer.id: answer for answer in answers}
    waited_for: Sequence[Json] = ()
    for entry, event in zip(order.history, events, strict=True):
        described = _entry(event, causes, entry, waited_for)
        if event.type != OrderRedacted.ce_type:
            waited_for = event.data["lines"] if event.type == OrderBackordered.ce_type else ()
        if differing := _first_difference((name, entry.get(name), value) for name, value in described.items()):
            return f"{differing} of event {event.sequence} in the history differs"
    if events and events[0].type == OrderPlaced.ce_type:
        placed = events[0].data
        differing = _first_difference((name, placed.get(name), value) for name, value in _placed(order).items())
        return differing and f"{differing} differs from its first event"
    return None


def _entry(event: LogEvent, causes: Mapping[str | None, LogEvent], entry: Json, waited_for: Sequence[Json]) -> Json:
    """Return the members of a history's entry that the event has, too. The note of a cancel is only in the history.

    `waited_for` are the lines of the event before, if the order was backordered.
    """
    because: Json = {"kind": "request", "id": event.correlation_id}
    if event.causation_id is not None:
        because = {"kind": "event", "id": event.causation_id}
        if answer := causes.get(event.causation_id):
            because |= {"type": answer.type, "time": answer.time}
        else:  # an answer that a person mended has another time and type on the topic
            because |= {name: value for name, value in entry["because"].items() if name in ("type", "time")}
    elif event.correlation_id == event.id:
        because = {"kind": "clock"}
    described: dict[str, Any] = {"id": event.id, "type": event.type, "sequence": event.sequence, "time": event.time}
    described["because"] = because
    if event.type in (OrderCancelled.ce_type, OrderRejected.ce_type):
        described["reason"] = event.data["reason"]
    if event.type == OrderBackordered.ce_type:
        described["lines"] = _changes(waited_for, event.data["lines"])
    if event.type == OrderRedacted.ce_type:
        described["parts"] = event.data["parts"]
    return described


def _changes(before: Sequence[Json], after: Sequence[Json]) -> list[Json]:
    """Return the lines that changed. A line that lacks no stock any more has `backordered` 0."""
    known, left = {line["line_id"]: line for line in before}, {line["line_id"] for line in after}
    served = [
        {**line, "reserved": line["requested"], "backordered": 0} for line in before if line["line_id"] not in left
    ]
    return [line for line in after if known.get(line["line_id"]) != line] + served


def _placed(order: StoredOrder) -> Json:
    """Return the members of `OrderPlaced` that follow from the row. A redacted row has no address any more."""
    document, ship_to = order.document, order.document.get("ship_to")
    destination = ship_to and destination_of(Address(**ship_to)).model_dump(mode="json", exclude_none=True)
    return {
        "order_id": order.id,
        "partner": order.partner,
        **{name: getattr(order, name) for name in NAMES},
        **{name: document.get(name) for name in CONTENT},
        **({"ship_to": destination} if order.redacted_at is None else {}),
        "lines": [_line(line, order.base_quantities) for line in document["lines"]],
    }


def _line(line: Json, base: Mapping[str, int]) -> Json:
    made = {name: line[name] for name in ("line_id", "item_id", "discount", "amount") if name in line}
    price = {"unit_price": line["unit_price"]} if "unit_price" in line else {}
    if "unit" not in line:
        return {**made, **price, "quantity": line["quantity"]}
    ordered = {"quantity": f"{exactly(line['quantity']):f}", "unit": line["unit"], **price}
    return {**made, "quantity": base.get(line["line_id"]), "ordered": ordered}


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _first_difference(pairs: Iterable[tuple[str, object, object]]) -> str | None:
    return next((name for name, one, other in pairs if one != other), None)
