"""Subscribe to every topic as an outside consumer without a group, and record the arrival times.

The consumer reads headers and keys only, because it only counts. The type of an event is in the header `ce_type`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer

from crossdock_cli.broker import broker
from crossdock_events import CATALOGUE
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderConfirmed, OrderRejected

OUTCOMES = {
    OrderConfirmed.ce_type: "confirmed",
    OrderBackordered.ce_type: "backordered",
    OrderRejected.ce_type: "rejected",
    OrderCancelled.ce_type: "cancelled",
}
TOPICS = tuple(sorted(topic.name for topic in CATALOGUE.topics()))
START_SECONDS = 30
FETCH_MILLISECONDS = 200


@dataclass(slots=True)
class Seen:
    """Counts and times since the start.

    `events`: the number by topic. `latest`: the latest outcome of each order. `confirmed`: when the confirmation of an
    order arrived (`time.perf_counter`, seconds).
    """

    events: Counter[str] = field(default_factory=Counter)
    latest: dict[str, str] = field(default_factory=dict)
    confirmed: dict[str, float] = field(default_factory=dict)
    _ids: set[bytes] = field(default_factory=set)
    _fresh: asyncio.Event = field(default_factory=asyncio.Event)

    def record(self, topic: str, key: bytes | None, headers: Collection[tuple[str, bytes]], now: float) -> None:
        """Count an event. Ignore a repeated delivery, as every consumer must."""
        attributes = dict(headers)
        if (event_id := attributes.get("ce_id")) is not None:
            if event_id in self._ids:
                return
            self._ids.add(event_id)
        self.events[topic] += 1
        outcome = OUTCOMES.get(attributes.get("ce_type", b"").decode())
        if outcome is not None and key is not None:
            order_id = key.decode()
            self.latest[order_id] = outcome
            if outcome == "confirmed":
                self.confirmed.setdefault(order_id, now)
        self._fresh.set()

    def orders(self, outcome: str) -> set[str]:
        """Return the ids of the orders with this latest outcome."""
        return {order_id for order_id, latest in self.latest.items() if latest == outcome}

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition, checked after every event. Return False if it does not hold within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._fresh.clear()
                    await self._fresh.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def listening(kafka: str) -> AsyncIterator[Seen]:
    """Consume from the current end of every topic: the block misses no event that is published after it begins.

    If the consumer failed, raise its error when the block ends.
    """
    seen = Seen()
    consumer = AIOKafkaConsumer(
        *TOPICS, **broker(kafka).options, group_id=None, enable_auto_commit=False, auto_offset_reset="latest"
    )
    async with asyncio.timeout(START_SECONDS):
        await consumer.start()
    try:
        async with asyncio.timeout(START_SECONDS):
            await consumer.seek_to_end()
            for partition in consumer.assignment():
                await consumer.position(partition)
        listener = asyncio.create_task(_listen(consumer, seen))
        try:
            yield seen
        finally:
            listener.cancel()
            await asyncio.wait([listener])
        if not listener.cancelled() and (failure := listener.exception()) is not None:
            raise failure
    finally:
        await consumer.stop()


async def _listen(consumer: AIOKafkaConsumer, seen: Seen) -> None:
    while True:
        batches = await consumer.getmany(timeout_ms=FETCH_MILLISECONDS)
        now = time.perf_counter()
        for records in batches.values():
            for record in records:
                seen.record(record.topic, record.key, record.headers, now)
