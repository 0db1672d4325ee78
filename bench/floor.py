"""Measure parts of accepting an order that every design needs, each by itself in one process and without a database.

They are the service's own functions. Their processor time is a floor: a server of one process is never faster.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from bench import goods
from crossdock_chassis import Content, Unit
from crossdock_chassis.testing import envelope_of
from crossdock_events import Cause, Envelope, Event
from order_service.orders.draft import Draft, settle
from order_service.orders.place import PlaceOrder, make


@dataclass(frozen=True, slots=True)
class Parts:
    """Microseconds of processor time an order, of each run: to parse and check it, and to make its event and rows."""

    check: Sequence[float]
    write: Sequence[float]


class _Outbox:
    """The part of a unit that `make` uses: it encodes the event."""

    def publish(self, event: Event, *, sequence: int, cause: Cause | None) -> Envelope[Event]:
        return envelope_of(event, sequence=sequence)


def measure(orders: int, runs: int) -> Parts:
    bodies = goods.bodies(orders, "floor", 1, goods.Assortment())
    cause, outbox = Cause(uuid4()), cast("Unit", _Outbox())
    drafts = [settle(Draft.model_validate_json(body)) for body in bodies]

    def check() -> None:
        for body in bodies:
            settle(Draft.model_validate_json(body))

    def write() -> None:
        for draft in drafts:
            make(outbox, PlaceOrder("bench", draft, Content.of(draft), cause), {})

    return Parts([_micros(check, orders) for _ in range(runs)], [_micros(write, orders) for _ in range(runs)])


def _micros(work: Callable[[], Any], orders: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / orders
