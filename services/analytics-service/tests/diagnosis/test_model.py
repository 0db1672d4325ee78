"""Each state of an order, and each part that can hold it up, has its diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_service.diagnosis import model
from analytics_service.diagnosis.facts import (
    INVENTORY,
    ORDERS,
    Facts,
    Letter,
    Line,
    LogState,
    Order,
    Part,
    Place,
    Queue,
    Sent,
    Silent,
    Stop,
)
from analytics_service.diagnosis.model import ANSWERS_TOPIC, ORDERS_TOPIC, diagnose
from analytics_service.diagnosis.sentences import SENTENCES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID("0199f3a2-5b1e-7c44-9d3a-0d6f7a1b2c3d")
SHORT = Line("1", "KEG", requested=5, reserved=2, missing=3)
TURN = replace(SHORT, orders_ahead=2, units_ahead=7, complete=True, available=0, discontinued=False)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def order(status: str, **more: Any) -> Order:
    usual = {"version": 1, "placed_at": ago(10), "since": ago(10), "partial": False}
    return Order(id=ID, status=status, **{**usual, **more})  # type: ignore[arg-type]


def sent(event: str, sequence: int = 1, seconds: float = 10, offset: int = 7) -> Sent:
    topic = ORDERS_TOPIC if event.startswith("Order") else ANSWERS_TOPIC
    return Sent(None, f"crossdock.{event}.v1", sequence, ago(seconds), topic, 3, offset)


def queue(status: str, *lines: Line, version: int = 1) -> Queue:
    return Queue(status, version, ago(8), lines=lines)  # type: ignore[arg-type]


def reading(topic: str, position: int | None, seen: float = 1, **more: Any) -> Part:
    return Part(places={(topic, 3): Place(position, 4.0, ago(seen))}, **more)


def facts(order: Order, *records: Sent, queue: Queue | Silent | None = None, **more: Any) -> Facts:
    return replace(Facts(NOW, order, records, queue, parts={}, log=LogState()), **more)


@dataclass(frozen=True)
class Case:
    """Facts, and the codes that the diagnosis must have."""

    facts: Facts
    what: str
    why: str | None
    next: str
    actions: Sequence[str] = ()
    notes: Sequence[str] = ()


PLACED = order("placed")
FRESH = sent("OrderPlaced", seconds=1)
READ_LATE = sent("OrderPlaced")
OLD = sent("OrderPlaced", seconds=100)
LACKS = order("backordered", lines=[SHORT])
UNTIL = replace(LACKS, until=NOW + timedelta(days=2))
BACKORDERED = sent("OrderBackordered")

CASES = {
    "placed just now": Case(facts(PLACED, FRESH), "awaiting_answer", None, "answer_or_cancelled", ["cancel"]),
    "without an answer for too long": Case(
        facts(replace(PLACED, placed_at=ago(100)), OLD),
        "answer_overdue",
        None,
        "cancelled_without_answer",
        ["cancel"],
    ),
    "inventory is behind": Case(
        facts(PLACED, READ_LATE, parts={INVENTORY: reading(ORDERS_TOPIC, 5)}),
        "awaiting_answer",
        "reader_behind",
        "caught_up",
        ["cancel"],
    ),
    "inventory has read it": Case(
        facts(PLACED, READ_LATE, parts={INVENTORY: reading(ORDERS_TOPIC, 8)}),
        "awaiting_answer",
        None,
        "answer_or_cancelled",
        ["cancel"],
    ),
    "inventory's consumer is not seen": Case(
        facts(PLACED, OLD, parts={INVENTORY: reading(ORDERS_TOPIC, 5, seen=90)}),
        "awaiting_answer",
        "reader_silent",
        "worker_starts",
        ["start_worker", "cancel"],
    ),
    "inventory has never read the partition": Case(
        facts(PLACED, OLD, parts={INVENTORY: Part()}),
        "awaiting_answer",
        "reader_silent",
        "worker_starts",
        ["start_worker", "cancel"],
    ),
    "no worker of inventory": Case(
        facts(PLACED, FRESH, parts={INVENTORY: reading(ORDERS_TOPIC, 5, runs=False)}),
        "awaiting_answer",
        "worker_not_running",
        "worker_starts",
        ["start_worker", "cancel"],
    ),
    "inventory's group is stopped": Case(
        facts(
            PLACED,
            FRESH,
            parts={INVENTORY: reading(ORDERS_TOPIC, 5, stops={None: [Stop(4, "breaker", "database full", ago(60))]})},
        ),
        "awaiting_answer",
        "reader_stopped",
        "person_decides",
        ["park", "cancel"],
    ),
    "records of the partition are lost": Case(
        facts(
            PLACED,
            FRESH,
            parts={INVENTORY: reading(ORDERS_TOPIC, 5, stops={(ORDERS_TOPIC, 3): [Stop(4, "lost", "gone", ago(60))]})},
        ),
        "awaiting_answer",
        "reader_stopped",
        "person_decides",
        ["skip", "cancel"],
    ),
    "another partition is stopped": Case(
        facts(
            PLACED,
            FRESH,
            parts={INVENTORY: reading(ORDERS_TOPIC, 5, stops={(ORDERS_TOPIC, 2): [Stop(4, "lost", "gone", ago(60))]})},
        ),
        "awaiting_answer",
        None,
        "answer_or_cancelled",
        ["cancel"],
    ),
    "a decision is carried out": Case(
        facts(
            PLACED,
            FRESH,
            parts={INVENTORY: reading(ORDERS_TOPIC, 5, stops={None: [Stop(4, "version", "v9", ago(60), "park")]})},
        ),
        "awaiting_answer",
        "reader_stopped",
        "decision_carried_out",
        ["cancel"],
    ),
    "the order's event is a dead letter": Case(
        facts(PLACED, READ_LATE, parts={INVENTORY: Part(letters=[Letter(9, "poison", ORDERS_TOPIC, "bad", ago(9))])}),
        "awaiting_answer",
        "event_parked",
        "cancelled_without_answer",
        ["redrive", "discard", "cancel"],
    ),
    "the order's event is retried": Case(
        facts(PLACED, READ_LATE, parts={INVENTORY: Part(letters=[Letter(9, "blocked", ORDERS_TOPIC, "busy", ago(9))])}),
        "awaiting_answer",
        "event_retried",
        "retried",
        ["cancel"],
    ),
    "the outbox of order-service is blocked": Case(
        facts(PLACED, parts={ORDERS: Part(outbox_depth=3, outbox_seconds=40)}),
        "awaiting_answer",
        "outbox_blocked",
        "sent_later",
        ["check_kafka", "cancel"],
        ["events_missing"],
    ),
    "no worker of order-service sends": Case(
        facts(PLACED, parts={ORDERS: Part(runs=False)}),
        "awaiting_answer",
        "worker_not_running",
        "worker_starts",
        ["start_worker", "cancel"],
        ["events_missing"],
    ),
    "the log itself is late": Case(
        facts(PLACED, log=LogState(lag=900, seconds=30)),
        "awaiting_answer",
        "log_late",
        "answer_or_cancelled",
        ["cancel"],
        ["events_missing"],
    ),
    "the log is stopped": Case(
        facts(PLACED, FRESH, log=LogState(stopped_since=ago(60))),
        "awaiting_answer",
        None,
        "answer_or_cancelled",
        ["cancel"],
        ["log_stopped"],
    ),
    "no worker of analytics-service": Case(
        facts(PLACED, FRESH, log=LogState(runs=False)),
        "awaiting_answer",
        None,
        "answer_or_cancelled",
        ["cancel"],
        ["log_not_running"],
    ),
    "decided, but the answer is not read": Case(
        facts(
            PLACED,
            sent("StockReserved", 1, 8),
            READ_LATE,
            queue=queue("open"),
            parts={ORDERS: reading(ANSWERS_TOPIC, 2)},
        ),
        "answer_on_its_way",
        "reader_behind",
        "caught_up",
        ["cancel"],
    ),
    "decided, but the answer is not sent": Case(
        facts(PLACED, READ_LATE, queue=queue("open"), parts={INVENTORY: Part(outbox_depth=1, outbox_seconds=8)}),
        "answer_on_its_way",
        "outbox_blocked",
        "sent_later",
        ["check_kafka", "cancel"],
    ),
    "waits in the queue": Case(
        facts(UNTIL, BACKORDERED, queue=queue("waiting", TURN)),
        "waits_for_stock",
        "orders_ahead",
        "served_or_expires",
        ["receive", "cancel"],
    ),
    "is the first in the queue": Case(
        facts(LACKS, BACKORDERED, queue=queue("waiting", replace(TURN, orders_ahead=0, units_ahead=0))),
        "waits_for_stock",
        "first_in_queue",
        "served_in_turn",
        ["receive", "cancel"],
    ),
    "holds a part": Case(
        facts(replace(UNTIL, partial=True), BACKORDERED, queue=queue("waiting", TURN)),
        "waits_for_rest",
        "orders_ahead",
        "served_or_expires",
        ["receive", "cancel"],
    ),
    "was confirmed and lost its stock": Case(
        facts(LACKS, sent("OrderBackordered", 3), sent("OrderConfirmed", 2), queue=queue("waiting", TURN)),
        "stock_withdrawn",
        "orders_ahead",
        "served_in_turn",
        ["receive", "cancel"],
    ),
    "waits for an item that is discontinued": Case(
        facts(UNTIL, BACKORDERED, queue=queue("waiting", replace(TURN, discontinued=True))),
        "waits_for_stock",
        "item_discontinued",
        "expires",
        ["activate", "cancel"],
    ),
    "inventory does not answer": Case(
        facts(UNTIL, BACKORDERED, queue=Silent("no connection"), parts={INVENTORY: Silent("no connection")}),
        "waits_for_stock",
        "place_unknown",
        "served_or_expires",
        ["receive", "cancel"],
        ["service_silent"],
    ),
    "waits for stock while inventory has no worker": Case(
        facts(LACKS, BACKORDERED, queue=queue("waiting", TURN), parts={INVENTORY: Part(runs=False)}),
        "waits_for_stock",
        "worker_not_running",
        "worker_starts",
        ["start_worker", "receive", "cancel"],
    ),
    "backordered, and nobody knows what it lacks": Case(
        facts(replace(LACKS, lines=[]), BACKORDERED, queue=Silent("HTTP 503")),
        "waits_for_stock",
        None,
        "nothing",
        ["cancel"],
        ["service_silent"],
    ),
    "has its stock, order-service has not read it": Case(
        facts(LACKS, sent("StockReserved", 2, 8), BACKORDERED, queue=queue("open", version=2)),
        "stock_found",
        None,
        "answer_read",
        ["cancel"],
    ),
    "lost its stock, order-service has not read it": Case(
        facts(order("confirmed"), sent("OrderConfirmed"), queue=queue("waiting", TURN, version=2)),
        "stock_lost",
        None,
        "answer_read",
        ["cancel"],
    ),
    "confirmed": Case(
        facts(order("confirmed"), sent("OrderConfirmed"), queue=queue("open")), "confirmed", None, "nothing", ["cancel"]
    ),
    "cancelled, its stock is not given back": Case(
        facts(order("cancelled", reason="partner_request"), sent("OrderCancelled", seconds=1), queue=queue("open")),
        "releasing",
        None,
        "stock_given_back",
    ),
    "cancelled": Case(
        facts(order("cancelled"), sent("StockReleased"), sent("OrderCancelled"), queue=queue("released")),
        "cancelled",
        None,
        "nothing",
    ),
    "cancelled long ago": Case(facts(order("cancelled", version=0)), "cancelled", None, "nothing"),
    "rejected": Case(
        facts(order("rejected", reason="unknown item"), sent("OrderRejected"), queue=queue("rejected")),
        "rejected",
        None,
        "nothing",
        ["order_anew"],
    ),
    "order-service is away": Case(
        facts(order("confirmed", from_events=True), sent("OrderConfirmed"), order_service=Silent("no connection")),
        "confirmed",
        None,
        "nothing",
        ["cancel"],
        ["service_silent", "status_from_events"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_state_has_its_diagnosis(name: str) -> None:
    case = CASES[name]
    found = diagnose(case.facts)
    assert (found.what.code, found.why and found.why.code, found.next.code) == (case.what, case.why, case.next)
    assert [each.code for each in found.actions] == list(case.actions)
    assert [each.code for each in found.notes] == list(case.notes)


def test_each_code_has_a_case_and_a_sentence() -> None:
    codes = {
        kind: set(get_args(getattr(model, kind)))
        for kind in ("WhatCode", "WhyCode", "NextCode", "ActionCode", "NoteCode")
    }
    found = [diagnose(case.facts) for case in CASES.values()]
    assert {each.what.code for each in found} == codes["WhatCode"]
    assert {each.why.code for each in found if each.why} == codes["WhyCode"]
    assert {each.next.code for each in found} == codes["NextCode"]
    assert {action.code for each in found for action in each.actions} == codes["ActionCode"]
    assert {note.code for each in found for note in each.notes} >= codes["NoteCode"] - {"log_late"}
    assert SENTENCES.keys() == set.union(*codes.values())


def test_sentences_name_what_a_person_needs() -> None:
    found = diagnose(CASES["waits in the queue"].facts)
    assert found.what.sentence == "Waits for stock since 2026-03-01 11:59:50 UTC: it lacks 3 units of KEG."
    assert found.why is not None
    assert found.why.sentence == "For KEG, 2 orders with 7 missing units come first."
    assert found.next.at == NOW + timedelta(days=2)
    receive, cancel = found.actions
    assert (receive.method, receive.url, receive.scope) == ("POST", "/v1/receipts", "ops:act")
    assert (cancel.service, cancel.url) == (ORDERS, f"/v1/orders/{ID}:cancel")


SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: st.integers(0, 10**9),
    float: st.floats(0, allow_infinity=False),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=1)),
    datetime: st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of an annotation of the facts. Hypothesis alone would take times without a zone, and NaN."""
    if is_dataclass(kind):
        assert isinstance(kind, type)
        hints = get_type_hints(kind)
        return st.builds(kind, **{each.name: values(hints[each.name]) for each in fields(kind)})
    match get_origin(kind), get_args(kind):
        case (origin, parts) if origin in (Union, UnionType):
            return st.one_of(*map(values, parts))
        case origin, (part, *_) if origin is Sequence:
            return st.lists(values(part), max_size=3)
        case origin, (key, value) if origin is Mapping:
            return st.dictionaries(values(key), values(value), max_size=3)
        case origin, parts if origin is tuple:
            return st.tuples(*map(values, parts))
    return SIMPLE[kind] if kind in SIMPLE else st.from_type(kind)


@given(values(Facts))
def test_any_facts_have_a_diagnosis(facts: Facts) -> None:
    """Services answer one after another, so their answers may contradict one another."""
    found = diagnose(facts)
    assert found.what.sentence and found.next.sentence
