"""Records of Kafka for tests, readable or not."""

import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from crossdock_chassis import Record, Service, new_id
from crossdock_chassis.testing import envelope_of
from crossdock_events import Event, Message
from crossdock_events.orders import OrderConfirmed, OrderEvent
from crossdock_events.reservations import StockReleased

ORDERS = OrderEvent.topic.name
ROWS = """
    SELECT position, kafka_time, topic, partition, "offset", key, value, headers::text AS headers, type, event_id,
           source, sequence, order_id, partner, repeat
    FROM log ORDER BY position
"""
_offsets = count(1)


def confirmed(partner: str = "acme", order_id: UUID | None = None) -> OrderConfirmed:
    return OrderConfirmed(order_id=order_id or new_id(), partner=partner, reference=f"PO-{uuid4().hex[:8]}")


def released(order_id: UUID) -> StockReleased:
    """Return an event that no partner may see."""
    return StockReleased(order_id=order_id, reason="cancelled", lines=())


def record(
    event: Event | None = None, *, sequence: int = 1, partition: int = 0, at: float | None = None, **changes: Any
) -> Record:
    """Return the record of an event, at the next offset. `changes` replace parts of its message."""
    message = envelope_of(event or confirmed(), sequence=sequence).encode()
    return at_next_offset(_changed(message, changes), partition, at)


def garbage(value: bytes = b"\xff\0", headers: Mapping[str, bytes] | None = None, key: bytes | None = None) -> Record:
    return at_next_offset(Message(ORDERS, key, value, headers or {}))


def at_next_offset(message: Message, partition: int = 0, at: float | None = None) -> Record:
    return Record(message, partition, next(_offsets), time.time() if at is None else at)


def _changed(message: Message, changes: Mapping[str, Any]) -> Message:
    whole: dict[str, Any] = {
        "topic": message.topic,
        "key": message.key,
        "value": message.value,
        "headers": message.headers,
    }
    return Message(**{**whole, **changes})


async def keep(service: Service, *records: Record, again: bool = False) -> None:
    assert service.log is not None
    async with service.database.unit() as unit:
        await service.log(unit, records, again=again)


async def rows(service: Service) -> Sequence[asyncpg.Record]:
    async with service.database.unit() as unit:
        found: Sequence[asyncpg.Record] = await unit.sql.fetch(ROWS)
    return found
