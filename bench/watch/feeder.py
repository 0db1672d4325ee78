"""Write events straight to Kafka, as the relays of other services would: all at once, or at a steady rate."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from aiokafka import AIOKafkaProducer

from crossdock_chassis import Broker, new_id
from crossdock_chassis.messaging import clients
from crossdock_chassis.testing import envelope_of
from crossdock_events import Event, Message
from crossdock_events.orders import OrderConfirmed, OrderLine, OrderPlaced
from crossdock_events.stock import Level, StockLevelChanged
from crossdock_local.stack import Stack

LINES: Final = 3
ITEMS: Final = 4_000
TICK_SECONDS: Final = 0.01


class Feeder:
    """Sends events, or else those of orders and stock in the proportion of a day: placed, confirmed, a level a line."""

    def __init__(self, stack: Stack, events: Iterator[Event] | None = None) -> None:
        self._kafka = Broker(stack.kafka)
        self._sequences: dict[tuple[str, str], int] = {}
        self._events = events or self._endless()

    async def send(self, count: int) -> None:
        """Send so many events as fast as possible."""
        producer = await clients.start_producer(self._kafka, "bench")
        try:
            for _ in range(count):
                await self._send(producer, self._next())
            await producer.flush()
        finally:
            await clients.discard(producer)

    async def steadily(self, rate: int, seconds: float) -> int:
        """Send `rate` events a second. Return how many were sent."""
        producer = await clients.start_producer(self._kafka, "bench")
        sent, began = 0, time.monotonic()
        try:
            while (passed := time.monotonic() - began) < seconds:
                while sent < passed * rate:
                    await self._send(producer, self._next())
                    sent += 1
                await asyncio.sleep(TICK_SECONDS)
            await producer.flush()
        finally:
            await clients.discard(producer)
        return sent

    @staticmethod
    async def _send(producer: AIOKafkaProducer, message: Message) -> None:
        await producer.send(message.topic, message.value, key=message.key, headers=list(message.headers.items()))

    def _next(self) -> Message:
        event = next(self._events)
        of = event.topic.name, event.key
        sequence = self._sequences.get(of, 0) + 1
        if isinstance(event, OrderConfirmed):
            del self._sequences[of]  # no other event of this order follows
        else:
            self._sequences[of] = sequence
        return envelope_of(event, sequence=sequence).encode()

    def _endless(self) -> Iterator[Event]:
        number = 0
        while True:
            order_id = new_id()
            items = [f"SKU-{(number + n) * 7919 % ITEMS}" for n in range(LINES)]
            number += LINES
            lines = tuple(
                OrderLine(line_id=str(n), item_id=item, quantity=2, unit_price=Decimal("1.99"), amount=Decimal("3.98"))
                for n, item in enumerate(items, start=1)
            )
            named = {"order_id": order_id, "partner": "bench", "reference": f"PO-{order_id}"}
            total = Decimal("11.94")
            yield OrderPlaced(
                **named, channel="api", priority=5, partial=False, currency="EUR", lines=lines, total=total
            )
            yield OrderConfirmed(**named)
            for item in items:
                levels = (Level(location_id="main", on_hand=1_000, reserved=2),)
                yield StockLevelChanged(item_id=item, levels=levels, available=998, causes=("reservation",))
