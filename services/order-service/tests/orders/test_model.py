"""The state machine alone: for answers in any order, an order never goes back and counts every fact."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock_chassis import fingerprint_of
from crossdock_events import Cause, Envelope
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
)
from crossdock_events.reservations import Allocation, ReservedLine
from order_service.orders import timeline
from order_service.orders.model import NEXT, NotCancellable, Order, Status
from order_service.orders.store import WAITING
from order_service.orders.stored import StoredOrder, wrong_in

NOW = datetime(2026, 12, 23, 9, tzinfo=UTC)
Step = Callable[[Order, datetime], OrderEvent | None]


def order() -> Order:
    return Order(UUID(int=1), "acme", "PO-1")


def line(requested: int, reserved: int, line_id: str = "1") -> ReservedLine:
    return ReservedLine(
        line_id=line_id,
        item_id="A",
        requested=requested,
        reserved=reserved,
        backordered=requested - reserved,
        allocations=(Allocation(location_id="main", quantity=reserved),) if reserved else (),
    )


@st.composite
def answers(draw: st.DrawFn) -> Step:
    """One answer of inventory's with some sequence: repeats and old ones among them."""
    kind = draw(st.sampled_from(["reserved", "backordered", "rejected", "released"]))
    sequence = draw(st.integers(1, 6))
    requested = draw(st.integers(1, 5))
    lines = (line(requested, draw(st.integers(0, requested))),)

    def say(subject: Order, now: datetime) -> OrderEvent | None:
        if not subject.advance(sequence):
            return None
        match kind:
            case "reserved":
                return subject.reserved(lines, now)
            case "backordered":
                return subject.backordered(lines, now)
            case "rejected":
                return subject.reject("unknown_item", (), now)
        return None

    return say


@st.composite
def cancels(draw: st.DrawFn) -> Step:
    reason = draw(st.sampled_from(["partner_request", "no_answer", "backorder_expired"]))

    def cancel(subject: Order, now: datetime) -> OrderEvent | None:
        with suppress(NotCancellable):
            return subject.cancel(reason, now)
        return None

    return cancel


SAYS = {
    OrderConfirmed: Status.CONFIRMED,
    OrderBackordered: Status.BACKORDERED,
    OrderRejected: Status.REJECTED,
    OrderCancelled: Status.CANCELLED,
}


@given(st.lists(answers() | cancels(), max_size=20))
def test_any_interleaving_keeps_state_legal_and_versions_gapless(steps: list[Step]) -> None:
    subject = order()
    versions = [subject.version]
    for minutes, step in enumerate(steps):
        before, now = subject.status, NOW + timedelta(minutes=minutes)
        said = step(subject, now)
        if said is None:
            assert subject.status is before
        else:
            versions.append(subject.version)
            assert subject.status is SAYS[type(said)]
            assert subject.status in NEXT[before]
            assert before is subject.status or subject.decided_at == now
        assert (subject.waiting is not None) == (subject.status is Status.BACKORDERED)
        assert (subject.decided_at is None) == (subject.status is Status.PLACED)
    assert versions == list(range(1, len(versions) + 1))


@given(st.lists(answers() | cancels(), max_size=20))
def test_the_columns_follow_from_the_history(steps: list[Step]) -> None:
    """The check of `crossdock verify` raises no false alarm, also if a later event has an earlier time."""
    subject, cause = order(), Cause(UUID(int=2))
    history = [{"type": OrderPlaced.ce_type, "time": NOW.isoformat(), "sequence": 1}]
    for minutes, step in enumerate(steps):
        now = NOW - timedelta(minutes=minutes)
        if said := step(subject, now):
            published = Envelope(said, UUID(int=minutes), "order-service", now, subject.version, cause)
            history.append(json.loads(timeline.entry(published, timeline.CLOCK)))
    document = {"reference": "PO-1", "lines": [], "discounts": [], "shipping": "0", "tax": "0", "total": "0"}
    stored = StoredOrder(
        id=str(subject.id),
        partner="acme",
        reference="PO-1",
        replaces=None,
        customer_id=None,
        fingerprint=fingerprint_of(document),
        status=subject.status,
        version=subject.version,
        reservation_sequence=subject.reservation_sequence,
        placed_at=NOW,
        decided_at=subject.decided_at,
        redacted_at=None,
        redacted_fingerprint=None,
        waiting={} if subject.waiting is None else json.loads(WAITING.dump_json(subject.waiting)),
        document=document,
        base_quantities={},
        history=history,
    )
    assert wrong_in(stored) is None


@given(st.lists(answers() | cancels(), max_size=8), st.data())
def test_repeated_steps_change_nothing(steps: list[Step], data: st.DataObject) -> None:
    once, twice = order(), order()
    for step in steps:
        step(once, NOW)
        for _ in range(data.draw(st.integers(1, 3))):
            step(twice, NOW)
    assert (once.status, once.version, once.waiting, once.reservation_sequence) == (
        twice.status,
        twice.version,
        twice.waiting,
        twice.reservation_sequence,
    )


@given(st.permutations([1, 2, 3, 4]), st.lists(st.integers(0, 3), max_size=6))
def test_reordered_answers_end_at_the_latest(sequences: list[int], repeats: list[int]) -> None:
    """Answer number n of inventory reserves n of 9."""
    subject = order()
    for i in [*range(4), *repeats]:
        if subject.advance(sequences[i]):
            subject.reserved((line(9, sequences[i]),), NOW)
    assert subject.waiting is not None
    assert [each.reserved for each in subject.waiting.lines] == [4]


def test_only_confirmed_and_backordered_lead_back_to_each_other() -> None:
    def beyond(status: Status) -> set[Status]:
        reached: set[Status] = set()
        todo = list(NEXT[status] - {status})
        while todo:
            if (each := todo.pop()) not in reached:
                reached.add(each)
                todo += NEXT[each] - {each}
        return reached

    assert {status for status in Status if status in beyond(status)} == {Status.CONFIRMED, Status.BACKORDERED}
    assert set(NEXT) == set(Status)


def test_answer_after_a_cancel_publishes_nothing() -> None:
    subject = order()
    assert subject.cancel("no_answer", NOW) is not None
    assert subject.reserved((line(1, 1),), NOW) is None
    assert (subject.status, subject.version) == (Status.CANCELLED, 2)


def test_rejected_order_cannot_be_cancelled() -> None:
    subject = order()
    subject.reject("unknown_item", (), NOW)
    with pytest.raises(NotCancellable):
        subject.cancel("partner_request", NOW)


def test_partly_served_order_keeps_its_waiting_since() -> None:
    subject = order()
    subject.backordered((line(5, 0),), NOW)
    said = subject.reserved((line(5, 2), line(1, 1, "2")), NOW + timedelta(days=1))
    assert isinstance(said, OrderBackordered)
    assert [(each.line_id, each.backordered) for each in said.lines] == [("1", 3)]
    assert subject.waiting is not None
    assert subject.waiting.since == subject.decided_at == NOW
    assert subject.version == 3
    assert isinstance(subject.reserved((line(5, 5), line(1, 1, "2")), NOW), OrderConfirmed)
    assert subject.waiting is None


def test_unchanging_answer_publishes_nothing() -> None:
    subject = order()
    subject.backordered((line(5, 0),), NOW)
    assert subject.backordered((line(5, 0),), NOW) is None
    assert subject.version == 2


def test_confirmed_order_that_loses_stock_waits_from_then_on() -> None:
    subject, later = order(), NOW + timedelta(days=40)
    subject.reserved((line(3, 3),), NOW)
    said = subject.reserved((line(3, 1),), later)
    assert isinstance(said, OrderBackordered) and said.lines[0].backordered == 2
    assert subject.waiting is not None
    assert subject.waiting.since == subject.decided_at == later
    assert isinstance(subject.reserved((line(3, 3),), later), OrderConfirmed)
    assert subject.version == 4 and subject.waiting is None
