"""Test which last events of an order and its reservation agree."""

import json
from collections.abc import Collection, Iterator

import pytest

from crossdock_cli.verify import agreement
from crossdock_cli.verify.log import Entry, Log
from crossdock_cli.verify.report import Findings
from crossdock_events import Event
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
)
from crossdock_events.reservations import (
    ReservationEvent,
    StockBackordered,
    StockRejected,
    StockReleased,
    StockReserved,
)

Answer = tuple[type[ReservationEvent], int] | None
"""The last event of a reservation, and the backordered units of its line."""

AGREE: set[tuple[type[OrderEvent], Answer]] = {
    (OrderPlaced, None),
    (OrderConfirmed, (StockReserved, 0)),
    (OrderBackordered, (StockReserved, 2)),
    (OrderBackordered, (StockBackordered, 2)),
    (OrderRejected, (StockRejected, 0)),
    (OrderCancelled, (StockReleased, 0)),
}
ORDERS = (OrderPlaced, OrderConfirmed, OrderBackordered, OrderRejected, OrderCancelled)
ANSWERS: tuple[Answer, ...] = (
    None,
    (StockReserved, 0),
    (StockReserved, 2),
    (StockBackordered, 2),
    (StockRejected, 0),
    (StockReleased, 0),
)


def entries(event: type[Event], key: str, backordered: int = 0) -> Iterator[Entry]:
    """Yield another event before the given one, because only the last event counts."""
    before = OrderPlaced if issubclass(event, OrderEvent) else StockBackordered
    for sequence, each in enumerate((before, event), 1):
        value = json.dumps({"lines": [{"backordered": backordered}]}).encode()
        id = f"{key} {each.ce_type} {sequence}"
        yield Entry(event.topic.name, 0, sequence, 0, key.encode(), value, (), each.ce_type, id, sequence, "test")


def disagreements(order: type[OrderEvent], answer: Answer, stuck: Collection[str] = ()) -> list[str]:
    found = Findings()
    reservations = [] if answer is None else list(entries(answer[0], "order-1", answer[1]))
    agreement.check(Log([*entries(order, "order-1"), *reservations]), stuck, found)
    return [what for each in found.by_check.values() for what in each.shown]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_order_agrees_with_one_outcome_of_its_reservation(order: type[OrderEvent], answer: Answer) -> None:
    assert (disagreements(order, answer) == []) == ((order, answer) in AGREE)


def test_a_disagreement_names_both_events() -> None:
    found = disagreements(OrderConfirmed, (StockReleased, 0))
    assert found == ["order-1: OrderConfirmed.v1, its reservation: StockReleased.v1"]
    assert disagreements(OrderConfirmed, None) == ["order-1: OrderConfirmed.v1, its reservation: nothing"]


def test_a_stuck_order_may_disagree() -> None:
    assert disagreements(OrderConfirmed, None, {"order-1"}) == []
