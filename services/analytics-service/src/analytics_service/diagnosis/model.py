"""Decide from facts what an order waits for, why, what happens next by itself, and what a person can do.

Two questions decide. What does the order wait for? Its status shows it, compared with what inventory-service decided.
And if an event is on its way from one service to the other, where is it: in an outbox, in Kafka, or set aside?
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, Field

from analytics_service.diagnosis.facts import INVENTORY, ORDERS, Facts, Line, Part, Queue, Sent, Silent, Stop
from analytics_service.diagnosis.sentences import SENTENCES
from crossdock_events.orders import OrderEvent
from crossdock_events.reservations import ReservationEvent

ORDERS_TOPIC: Final = OrderEvent.topic.name
ANSWERS_TOPIC: Final = ReservationEvent.topic.name
LATE: Final = timedelta(seconds=5)
"""Events take milliseconds. After this time, the reason is named."""
UNSEEN: Final = timedelta(seconds=30)
"""A consumer stores its place within 5 seconds of a change."""
FORESEEN: Final = timedelta(days=365)
"""A consumer that needs longer than this has stopped in all but name, so no time is given."""
RECEIVED: Final = 3
"""Items for which the receipt of goods is proposed."""

WhatCode = Literal[
    "awaiting_answer", "answer_overdue", "answer_on_its_way", "waits_for_stock", "waits_for_rest", "stock_withdrawn",
    "stock_found", "stock_lost", "releasing", "confirmed", "rejected", "cancelled",
]  # fmt: skip
WhyCode = Literal[
    "orders_ahead", "first_in_queue", "item_discontinued", "place_unknown", "outbox_blocked", "worker_not_running",
    "reader_silent", "reader_stopped", "reader_behind", "event_parked", "event_retried", "log_late",
]  # fmt: skip
NextCode = Literal[
    "answer_or_cancelled", "cancelled_without_answer", "answer_read", "served_or_expires", "served_in_turn", "expires",
    "stock_given_back", "sent_later", "worker_starts", "caught_up", "decision_carried_out", "person_decides", "retried",
    "nothing",
]  # fmt: skip
ActionCode = Literal[
    "cancel", "receive", "activate", "order_anew", "park", "skip", "redrive", "discard", "start_worker", "check_kafka"
]
NoteCode = Literal[
    "service_silent", "status_from_events", "events_missing", "log_late", "log_stopped", "log_not_running"
]

Data = dict[str, str | int | float | bool | None]


class Statement(BaseModel):
    data: Annotated[Data, Field(description="What the sentence names")]
    sentence: Annotated[str, Field(description="In English. Other languages: translate `code`, and insert `data`")]


class What(Statement):
    code: WhatCode


class Why(Statement):
    code: WhyCode


class Next(Statement):
    code: NextCode
    at: Annotated[datetime | None, Field(description="When at the latest, or about when; null if no time is known")]


class Action(Statement):
    """A request that a person may send, or work outside of the API: `method`, `url` and `scope` are null then."""

    code: ActionCode
    service: str
    method: str | None
    url: Annotated[str | None, Field(description="Relative to the address of the service")]
    scope: str | None


class Note(Statement):
    code: NoteCode


class LackingLine(BaseModel):
    """A line that lacks stock. Its place in the queue is null if inventory-service did not answer."""

    line_id: str
    item_id: str
    requested: int
    reserved: int
    missing: int
    orders_ahead: int | None
    units_ahead: int | None
    complete: Annotated[bool | None, Field(description="False if more is ahead than was counted")]
    available: Annotated[int | None, Field(description="Unreserved units of the item")]
    discontinued: bool | None


class Diagnosis(BaseModel):
    """What an order waits for, why, and what comes next."""

    order_id: UUID
    status: str
    version: int
    at: datetime
    since: Annotated[datetime, Field(description="When the wait began, or when the order got its last status")]
    what: What
    why: Annotated[Why | None, Field(description="Null if nothing holds the order up")]
    next: Next
    actions: list[Action]
    lines: Annotated[list[LackingLine], Field(description="The lines that lack most, at most 20")]
    lines_left_out: int
    notes: Annotated[list[Note], Field(description="What this diagnosis does not know")]


@dataclass(frozen=True, slots=True)
class Way:
    """An event that one service has written and the other one has not handled, as far as is known."""

    what: WhatCode
    since: datetime
    sender: str
    reader: str
    topic: str
    sent: Sent | None


def diagnose(facts: Facts) -> Diagnosis:
    way = way_of(facts)
    lines, left_out = _lacking(facts) if way is None else ([], 0)
    if way is not None:
        what, since = way.what, way.since
        why, following, actions = _on_its_way(facts, way)
    else:
        what, since = _settled(facts), facts.order.since
        why, following, actions = _waiting(facts, lines) if lines else (None, _next("nothing"), [])
    return Diagnosis(
        order_id=facts.order.id,
        status=facts.order.status,
        version=facts.order.version,
        at=facts.now,
        since=since,
        what=said(What, what, since=_iso(since), reason=facts.order.reason or "no reason", **_lack(lines, left_out)),
        why=why,
        next=following,
        actions=[*actions, *_on_the_order(facts)],
        lines=[LackingLine.model_validate(each, from_attributes=True) for each in lines],
        lines_left_out=left_out,
        notes=list(_notes(facts, why)),
    )


def way_of(facts: Facts) -> Way | None:
    """Return the event that the order waits for, None if both services agree."""
    order, queue = facts.order, facts.queue
    decided = queue.status if isinstance(queue, Queue) else None
    match order.status:
        case "placed":
            answer = _answer(facts)
            if answer is None and decided in (None, "released"):
                overdue = facts.now - order.placed_at > facts.overdue_after
                return _to_inventory(facts, "answer_overdue" if overdue else "awaiting_answer", "OrderPlaced")
            since = queue.changed_at if isinstance(queue, Queue) else order.placed_at if answer is None else answer.at
            return Way("answer_on_its_way", since, INVENTORY, ORDERS, ANSWERS_TOPIC, answer)
        case "backordered" if isinstance(queue, Queue) and decided == "open":
            return Way("stock_found", queue.changed_at, INVENTORY, ORDERS, ANSWERS_TOPIC, _answer(facts))
        case "confirmed" if isinstance(queue, Queue) and decided == "waiting":
            return Way("stock_lost", queue.changed_at, INVENTORY, ORDERS, ANSWERS_TOPIC, _answer(facts))
        case "cancelled" if _may_hold_stock(facts):
            return _to_inventory(facts, "releasing", "OrderCancelled")
    return None


def _may_hold_stock(facts: Facts) -> bool:
    """Return whether inventory-service has not read the cancellation. A silent service is taken to have read it."""
    if isinstance(facts.queue, Queue):
        return facts.queue.status in ("open", "waiting")
    unread = facts.queue is None and len(facts.records) > 0
    return unread and _newest(facts, ANSWERS_TOPIC, "StockReleased") is None


def _to_inventory(facts: Facts, what: WhatCode, event: str) -> Way:
    sent = _newest(facts, ORDERS_TOPIC, event)
    return Way(what, facts.order.since, ORDERS, INVENTORY, ORDERS_TOPIC, sent)


def _answer(facts: Facts) -> Sent | None:
    """Return the newest decision of inventory-service in the log, None if its latest one is not there."""
    newest = _newest(facts, ANSWERS_TOPIC)
    missing = isinstance(facts.queue, Queue) and newest is not None and newest.sequence < facts.queue.version
    return None if missing else newest


def _newest(facts: Facts, topic: str, event: str | None = None) -> Sent | None:
    for each in facts.records:
        if each.topic == topic and (event is None or each.type == f"crossdock.{event}.v1"):
            return each
    return None


def _settled(facts: Facts) -> WhatCode:
    order = facts.order
    if order.status != "backordered":
        return "awaiting_answer" if order.status == "placed" else order.status
    before = [each.type for each in facts.records if each.topic == ORDERS_TOPIC]
    earlier = [each for each in before if each != "crossdock.OrderBackordered.v1"]
    if earlier and earlier[0] == "crossdock.OrderConfirmed.v1":
        return "stock_withdrawn"
    partial = order.partial if order.partial is not None else isinstance(facts.queue, Queue) and facts.queue.partial
    return "waits_for_rest" if partial else "waits_for_stock"


# An event on its way


def _on_its_way(facts: Facts, way: Way) -> tuple[Why | None, Next, list[Action]]:
    found = _aside(facts, way) or (_unsent(facts, way) if way.sent is None else _unread(facts, way, way.sent))
    return found or (None, _usual(facts, way), [])


def _aside(facts: Facts, way: Way) -> tuple[Why, Next, list[Action]] | None:
    """Return that the reader has set an event of the order aside. It then takes no other event of it."""
    part = facts.parts.get(way.reader)
    letters = [each for each in part.letters if each.topic == way.topic] if isinstance(part, Part) else []
    for state in ("poison", "blocked"):
        for each in letters:
            if each.state != state:
                continue
            about = {"service": way.reader, "id": each.id, "reason": each.reason, "since": _iso(each.since)}
            unanswered = facts.order.status == "placed"
            if state == "blocked":
                return said(Why, "event_retried", **about), _next("retried", service=way.reader), []
            following = _deadline(facts, "cancelled_without_answer") if unanswered else _next("person_decides")
            path = f"/v1/dead-letters/{each.id}"
            actions = [
                action("redrive", way.reader, "POST", f"{path}:redrive", id=each.id),
                action("discard", way.reader, "POST", f"{path}:discard", id=each.id),
            ]
            return said(Why, "event_parked", **about), following, actions
    return None


def _unsent(facts: Facts, way: Way) -> tuple[Why, Next, list[Action]] | None:
    """Return why the event is not in the log: its sender has not sent it, or the log has not read it."""
    part = facts.parts.get(way.sender)
    if isinstance(part, Part):
        if not part.runs:
            return _not_running(way.sender)
        if part.outbox_depth and part.outbox_seconds > LATE.total_seconds():
            why = said(
                Why,
                "outbox_blocked",
                service=way.sender,
                messages=part.outbox_depth,
                seconds=round(part.outbox_seconds),
            )
            return why, _next("sent_later", service=way.sender), [action("check_kafka", way.sender)]
    if _log_is_late(facts):
        why = said(Why, "log_late", seconds=facts.log.seconds, records=facts.log.lag)
        return why, _usual(facts, way), []
    return None


def _unread(facts: Facts, way: Way, sent: Sent) -> tuple[Why, Next, list[Action]] | None:
    """Return why the reader has not read the event yet. None if it has read it, or is about to."""
    part = facts.parts.get(way.reader)
    if not isinstance(part, Part):
        return None
    place = part.places.get((sent.topic, sent.partition))
    position = None if place is None else place.position
    if position is not None and position > sent.offset:
        return None
    stops = [*part.stops.get(None, ()), *part.stops.get((sent.topic, sent.partition), ())]
    for stop in stops:
        return _stopped(way.reader, stop)
    if not part.runs:
        return _not_running(way.reader)
    if facts.now - sent.at <= LATE:
        return None
    seen = None if place is None else place.seen_at
    if facts.now - sent.at > UNSEEN and (seen is None or facts.now - seen > UNSEEN):
        why = said(Why, "reader_silent", service=way.reader, seen_at=None if seen is None else _iso(seen))
        return why, _next("worker_starts", service=way.reader), [action("start_worker", way.reader)]
    clear = None if place is None else place.seconds_to_clear
    at = facts.now + timedelta(seconds=clear) if clear is not None and clear < FORESEEN.total_seconds() else None
    why = said(Why, "reader_behind", service=way.reader, records=sent.offset - (position or 0))
    return why, _next("caught_up", at, service=way.reader), []


def _stopped(service: str, stop: Stop) -> tuple[Why, Next, list[Action]]:
    why = said(Why, "reader_stopped", service=service, since=_iso(stop.since), reason=stop.reason, id=stop.id)
    if stop.decision is not None:
        return why, _next("decision_carried_out", service=service, decision=stop.decision), []
    choices: list[ActionCode] = ["park"] if stop.kind in ("version", "breaker") else []
    choices += ["skip"] if stop.kind != "breaker" else []
    path = f"/v1/stopped/{stop.id}"
    actions = [action(each, service, "POST", f"{path}:{each}", id=stop.id) for each in choices]
    return why, _next("person_decides"), actions


def _not_running(service: str) -> tuple[Why, Next, list[Action]]:
    why = said(Why, "worker_not_running", service=service)
    return why, _next("worker_starts", service=service), [action("start_worker", service)]


def _usual(facts: Facts, way: Way) -> Next:
    """Return what happens next if nothing is in the way."""
    match way.what:
        case "awaiting_answer":
            return _deadline(facts, "answer_or_cancelled")
        case "answer_overdue":
            return _deadline(facts, "cancelled_without_answer")
        case "releasing":
            return _next("stock_given_back")
    return _next("answer_read")


def _deadline(facts: Facts, code: NextCode) -> Next:
    return _next(code, facts.order.placed_at + facts.overdue_after)


# An order that waits for stock


def _lacking(facts: Facts) -> tuple[Sequence[Line], int]:
    if facts.order.status != "backordered":
        return (), 0
    if isinstance(facts.queue, Queue) and facts.queue.lines:
        return facts.queue.lines, facts.queue.lines_left_out
    return facts.order.lines, facts.order.lines_left_out


def _waiting(facts: Facts, lines: Sequence[Line]) -> tuple[Why, Next, list[Action]]:
    part = facts.parts.get(INVENTORY)
    actions = [_receipt(each) for each in lines[:RECEIVED] if not each.discontinued]
    until = facts.order.until
    following = _next("served_in_turn" if until is None else "served_or_expires", until)
    if isinstance(part, Part) and not part.runs:
        why, starts, more = _not_running(INVENTORY)
        return why, starts, [*more, *actions]
    gone = [each for each in lines if each.discontinued]
    if gone:
        why = said(Why, "item_discontinued", item_id=gone[0].item_id)
        ends = facts.order.partial is False or len(gone) == len(lines)
        active = [_activation(each.item_id) for each in gone[:RECEIVED]]
        return why, _next("expires", until) if ends else following, [*active, *actions]
    worst = max(lines, key=lambda each: each.units_ahead or 0)
    if worst.orders_ahead is None or worst.units_ahead is None:
        why = said(Why, "place_unknown")
    elif worst.orders_ahead == 0:
        why = said(Why, "first_in_queue", item_id=lines[0].item_id, available=lines[0].available or 0)
    else:
        why = said(
            Why,
            "orders_ahead",
            item_id=worst.item_id,
            orders=worst.orders_ahead,
            units=worst.units_ahead,
            complete=worst.complete,
        )
    return why, following, actions


def _receipt(line: Line) -> Action:
    return action("receive", INVENTORY, "POST", "/v1/receipts", item_id=line.item_id, missing=line.missing)


def _activation(item: str) -> Action:
    path = f"/v1/items/{quote(item, safe='')}"
    return action("activate", INVENTORY, "PATCH", path, scope="stock:write", item_id=item)


def _on_the_order(facts: Facts) -> Iterator[Action]:
    if facts.order.status in ("placed", "confirmed", "backordered"):
        yield action("cancel", ORDERS, "POST", f"/v1/orders/{facts.order.id}:cancel")
    elif facts.order.status == "rejected":
        yield action("order_anew", ORDERS, "POST", "/v1/orders", scope="orders:write")


# What is not known


def _notes(facts: Facts, why: Why | None) -> Iterator[Note]:
    silent: dict[str, Silent] = {name: part for name, part in facts.parts.items() if isinstance(part, Silent)}
    if isinstance(facts.queue, Silent):
        silent[INVENTORY] = facts.queue
    if facts.order_service is not None:
        silent[ORDERS] = facts.order_service
    for name, each in sorted(silent.items()):
        yield said(Note, "service_silent", service=name, reason=each.reason)
    if facts.order.from_events:
        yield said(Note, "status_from_events")
    log = facts.log
    if log.stopped_since is not None:
        yield said(Note, "log_stopped", since=_iso(log.stopped_since))
    elif not log.runs:
        yield said(Note, "log_not_running")
    elif _log_is_late(facts) and (why is None or why.code != "log_late"):
        yield said(Note, "log_late", seconds=log.seconds, records=log.lag)
    newest = _newest(facts, ORDERS_TOPIC)
    have = 0 if newest is None else newest.sequence
    if have < facts.order.version:
        yield said(Note, "events_missing", have=have, version=facts.order.version)


def _log_is_late(facts: Facts) -> bool:
    log = facts.log
    if not log.runs or log.stopped_since is not None or log.lag is None:
        return True
    return log.lag > 0 and (log.seconds is None or log.seconds > LATE.total_seconds())


# Statements


def said(kind: Any, code: str, **data: Any) -> Any:
    return kind(code=code, data=data, sentence=SENTENCES[code](data))


def _next(code: NextCode, at: datetime | None = None, **data: Any) -> Next:
    whole = {**data, "at": None if at is None else _iso(at)}
    return Next(code=code, at=at, data=whole, sentence=SENTENCES[code](whole))


def action(
    code: ActionCode,
    service: str,
    method: str | None = None,
    url: str | None = None,
    scope: str = "ops:act",
    **data: Any,
) -> Action:
    whole = {**data, "service": service}
    return Action(
        code=code,
        service=service,
        method=method,
        url=url,
        scope=None if url is None else scope,
        data=whole,
        sentence=SENTENCES[code](whole),
    )


def _lack(lines: Sequence[Line], left_out: int) -> Data:
    if not lines:
        return {}
    first = lines[0]
    more = len(lines) - 1 + left_out
    return {"item_id": first.item_id, "missing": first.missing, "requested": first.requested, "more": more}


def _iso(time: datetime) -> str:
    return time.isoformat()
