"""Measure parts of an order's way that every design needs, each by itself in one process and without a database.

They are the services' own functions. Their processor time is a floor: a server of one process is never faster.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

from bench import goods
from crossdock_chassis import Content, Unit
from crossdock_events import CATALOGUE, Cause, Envelope, Event, Message
from crossdock_events.orders import OrderPlaced
from crossdock_events.reservations import StockReserved
from inventory_service.reservations.model import Demand, Reservation, Want, allocate
from order_service.orders.draft import Draft, settle
from order_service.orders.model import Order
from order_service.orders.place import PlaceOrder, make

PLACE: Final = "bench"
PLENTY: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Parts:
    """Microseconds of processor time an order, of each run.

    `check` parses and checks it. `write` makes its event and rows. `decide` decodes the events that the two
    services react to, decides, and makes the events of the answers.
    """

    check: Sequence[float]
    write: Sequence[float]
    decide: Sequence[float]


def measure(orders: int, runs: int) -> Parts:
    bodies = goods.bodies(orders, "floor", 1, goods.Assortment())
    drafts = [settle(Draft.model_validate_json(body)) for body in bodies]
    placed = _messages(_place(drafts))
    answers = _messages(_reserve(placed))

    def check() -> None:
        for body in bodies:
            settle(Draft.model_validate_json(body))

    def decide() -> None:
        _reserve(placed)
        _confirm(answers)

    works = check, lambda: _place(drafts), decide
    return Parts(*([_micros(work, orders) for _ in range(runs)] for work in works))


def _unit() -> Unit:
    """Return a unit that encodes events and has no database."""
    return Unit("bench", None, None)  # type: ignore[arg-type]


def _messages(unit: Unit) -> list[Message]:
    """Return the messages that a consumer fetches."""
    found = []
    for envelope in unit.published:
        topic, headers = envelope.event.topic.name, envelope.headers()
        encoded = {name: value.encode() for name, value in headers.items()}
        found.append(Message(topic, envelope.event.key.encode(), envelope.event.to_json(), encoded))
    return found


def _events(messages: Sequence[Message]) -> list[Envelope[Event]]:
    found = [CATALOGUE.decode(message) for message in messages]
    assert all(isinstance(each, Envelope) for each in found)
    return cast("list[Envelope[Event]]", found)


def _place(drafts: Sequence[Draft]) -> Unit:
    unit, cause = _unit(), Cause(uuid4())
    for draft in drafts:
        make(unit, PlaceOrder("bench", draft, Content.of(draft), cause), {})
    return unit


def _reserve(messages: Sequence[Message]) -> Unit:
    """Decide the orders as inventory-service does, with stock for all."""
    unit = _unit()
    placed = _events(messages)
    reservations: list[Reservation] = []
    demands: list[Demand] = []
    for each in placed:
        order = cast("OrderPlaced", each.event)
        lines = [Want(line.line_id, line.item_id, line.quantity) for line in order.lines]
        reservations.append(Reservation(order.order_id, order.priority, lines, placed_at=each.time))
        demands.append(Demand(order.order_id, order.priority, each.time, order.partial, lines))
    free = {line.item_id: {PLACE: PLENTY} for demand in demands for line in demand.lines}
    granted = allocate(free, demands, [PLACE], {}).granted
    for reservation, each in zip(reservations, placed, strict=True):
        reservation.grant(granted[reservation.order_id])
        unit.publish(reservation.to_event(), sequence=1, cause=each.as_cause())
    return unit


def _confirm(messages: Sequence[Message]) -> Unit:
    """Confirm the orders as order-service does."""
    unit = _unit()
    for answer in _events(messages):
        event = cast("StockReserved", answer.event)
        order = Order(event.order_id, "bench", "bench")
        order.advance(answer.sequence)
        confirmed = order.reserved(event.lines, unit.now)
        assert confirmed is not None
        unit.publish(confirmed, sequence=order.version, cause=answer.as_cause())
    return unit


def _micros(work: Callable[[], Any], orders: int) -> float:
    gc.collect()
    gc.disable()  # a service collects seldom too
    try:
        began = time.process_time()
        work()
        return (time.process_time() - began) * 1e6 / orders
    finally:
        gc.enable()
