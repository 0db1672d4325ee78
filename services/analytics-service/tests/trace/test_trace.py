"""The way of an order: times, gaps, copies, and clocks that disagree."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
from records import ORDERS, at_next_offset, confirmed, garbage, keep, record, released

from analytics_service.trace import http
from analytics_service.trace.model import Found, Trace, trace
from crossdock_chassis import Record, Service, new_id
from crossdock_chassis.testing import Clients, envelope_of
from crossdock_events import Cause, Event, Message

START = datetime(2026, 11, 27, 12, tzinfo=UTC)
ORDER = UUID(int=7)
RESERVATIONS = "crossdock.reservations.v1"
_numbers = count(1)


def at(milliseconds: float) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def found(began: float, arrived: float, cause: Found | None = None, **changes: Any) -> Found:
    """Return a record whose unit began at one time, and that reached Kafka at another. Both are in milliseconds."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "cursor": f"e-1.{number}",
        "topic": ORDERS,
        "key": str(ORDER),
        "kafka_time": at(arrived),
        "event_time": at(began),
        "type": "crossdock.OrderPlaced.v1",
        "id": UUID(int=number),
        "source": "order-service",
        "sequence": 1,
        "causation_id": None if cause is None else cause.id,
        "repeat": False,
    }
    return Found(**fields | changes)


def traced(*records: Found) -> Trace:
    return trace(ORDER, None, records, more=False)


def test_each_step_has_its_times() -> None:
    placed = found(0, 12)
    reserved = found(15, 22, placed, topic=RESERVATIONS, source="inventory-service")
    decided = found(26, 31, reserved, sequence=2)
    shown = traced(placed, decided, reserved)
    assert [(step.in_kafka_ms, step.to_kafka_ms) for step in shown.steps] == [(None, 12), (3, 7), (4, 5)]
    assert (shown.total_ms, shown.gaps) == (31, [])
    assert all(step.clocks is None for step in shown.steps)


def test_missing_events_are_gaps() -> None:
    shown = traced(found(0, 1, sequence=2), found(2, 3, sequence=5), found(4, 5, sequence=1, topic=RESERVATIONS))
    assert [(gap.topic, gap.first, gap.last) for gap in shown.gaps] == [(ORDERS, 1, 1), (ORDERS, 3, 4)]


def test_copies_are_marked_and_count_for_nothing_else() -> None:
    placed = found(0, 10)
    again = found(0, 60, id=placed.id, repeat=True)
    aside = found(0, 500, id=placed.id, topic=f"{ORDERS}.inventory-service.dlq")
    first, repeat, dead = traced(placed, again, aside).steps
    assert (repeat.repeat, repeat.in_kafka_ms, repeat.to_kafka_ms) == (True, 50, None)
    assert (dead.dead_letter, dead.in_kafka_ms, dead.to_kafka_ms) == (True, 490, None)
    assert traced(placed, again, aside).total_ms == first.to_kafka_ms == 10


def test_clocks_that_disagree_are_named() -> None:
    """A reaction cannot begin before its cause, nor an event reach Kafka before its unit began."""
    placed = found(0, 50)
    reserved = found(20, 55, placed, source="inventory-service", topic=RESERVATIONS)
    late = found(100, 80, None, sequence=2)
    shown = traced(placed, reserved, late)
    assert shown.steps[1].in_kafka_ms is None and shown.steps[1].clocks is not None
    assert shown.steps[1].clocks.model_dump() == {
        "of": "inventory-service",
        "than": "order-service",
        "milliseconds": 30,
    }
    assert shown.steps[2].to_kafka_ms is None and shown.steps[2].clocks is not None
    assert shown.steps[2].clocks.milliseconds == 20
    assert traced(found(0.7, 0)).steps[0].to_kafka_ms == 0, "Kafka cuts off what is less than a millisecond"


def of(event: Event, sequence: int, began: datetime, arrived: datetime, cause: Cause | None = None) -> Record:
    envelope = envelope_of(event, sequence=sequence)
    message = envelope.encode()
    headers = {**message.headers, "ce_time": began.isoformat().encode()}
    if cause is not None:
        headers["ce_causationid"] = str(cause.causation_id).encode()
    whole = Message(message.topic, message.key, message.value, headers)
    return at_next_offset(whole, at=arrived.timestamp())


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, partner="", scopes=("ops:read",))


async def test_trace_is_read_from_the_log(service: Service, operator: httpx.AsyncClient) -> None:
    order_id, now = new_id(), datetime.now(UTC).replace(microsecond=0)
    first = of(confirmed(order_id=order_id), 1, now, now + timedelta(milliseconds=9))
    cause = Cause(new_id(), UUID(first.message.headers["ce_id"].decode()))
    then = now + timedelta(milliseconds=14)
    second = of(released(order_id), 1, then, now + timedelta(milliseconds=20), cause)
    await keep(service, record(), first, second, garbage(b'{"order_id": "%s"}' % str(order_id).encode()))
    shown = Trace.model_validate((await operator.get(f"/v1/orders/{order_id}/trace")).json())
    assert [(step.type, step.in_kafka_ms, step.to_kafka_ms) for step in shown.steps] == [
        ("crossdock.OrderConfirmed.v1", None, 9),
        ("crossdock.StockReleased.v1", 5, 6),
    ]
    assert shown.steps[1].caused_by == shown.steps[0].id
    assert not shown.more
    answer = await operator.get(f"/v1/events/{shown.steps[0].cursor}")
    assert answer.json()["order_id"] == str(order_id)


async def test_headers_of_any_client_are_shown(service: Service, operator: httpx.AsyncClient) -> None:
    order_id = new_id()
    event = record(confirmed(order_id=order_id))
    headers = {**event.message.headers, "ce_time": b"soon", "ce_sequence": b"-1", "ce_causationid": b"\xff"}
    torn = Message(ORDERS, None, event.message.value, headers)
    await keep(service, at_next_offset(torn))
    [step] = (await operator.get(f"/v1/orders/{order_id}/trace")).json()["steps"]
    assert (step["began_at"], step["sequence"], step["caused_by"], step["to_kafka_ms"]) == (None, None, None, None)


async def test_long_trace_says_so(
    service: Service, operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST", 3)
    order_id = new_id()
    await keep(service, *(record(confirmed(order_id=order_id), sequence=n) for n in range(1, 5)))
    shown = (await operator.get(f"/v1/orders/{order_id}/trace")).json()
    assert (len(shown["steps"]), shown["more"]) == (3, True)


async def test_order_without_records_and_other_callers_are_refused(
    service: Service, operator: httpx.AsyncClient, clients: Clients
) -> None:
    assert (await operator.get(f"/v1/orders/{new_id()}/trace")).status_code == 404
    assert (await operator.get("/v1/orders/none/trace")).status_code == 422
    partner = clients(service, partner="acme", scopes=("events:read",))
    assert (await partner.get(f"/v1/orders/{new_id()}/trace")).status_code == 403
