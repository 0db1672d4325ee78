"""Services on a real broker: publish events, run relays and consumers, and read what is on the topics."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import toy
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from crossdock_chassis import Service
from crossdock_chassis.feature import Part
from crossdock_chassis.messaging.clients import lag, partition_of
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.positions import ensure_positions
from crossdock_chassis.messaging.relay import Relay
from crossdock_events import CATALOGUE, Envelope, Event, Message
from crossdock_events.orders import OrderEvent

PATIENCE = 40.0
ORDERS, PARTITIONS = OrderEvent.topic.name, OrderEvent.topic.partitions


@asynccontextmanager
async def running(*parts: Part) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stopping)) for part in parts]
    try:
        yield
        assert all(not task.done() or task.exception() is None for task in tasks)
    finally:
        stopping.set()
        await asyncio.wait(tasks, timeout=PATIENCE)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.05)


def relay(service: Service) -> Relay:
    return Relay(service.database.dsn, service.settings.broker, service.name)


async def publish(service: Service, *events: tuple[Event, int]) -> None:
    async with service.database.unit() as unit:
        for event, sequence in events:
            unit.publish(event, sequence=sequence, cause=None)


async def all_published(service: Service) -> bool:
    async with service.database.unit() as unit:
        return not await unit.sql.fetchval("SELECT count(*) FROM outbox_pending")


async def log_of(service: Service, orders: set[UUID]) -> list[Envelope[Event]]:
    """Return the events of these orders on the topic, by partition and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=service.settings.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        await consumer._client.add_topic(ORDERS)
        partitions = [TopicPartition(ORDERS, p) for p in consumer.partitions_for_topic(ORDERS) or ()]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Envelope[Event]] = []
        for tp in partitions:
            while await consumer.position(tp) < ends[tp]:
                for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, ()):
                    message = Message.from_record(record.topic, record.key, record.value, record.headers)
                    decoded = CATALOGUE.decode(message)
                    if isinstance(decoded, Envelope) and UUID(decoded.event.key) in orders:
                        found.append(decoded)
        return found
    finally:
        await consumer.stop()


def firsts(log: list[Envelope[Event]]) -> dict[UUID, list[int]]:
    """Sequences by order, once repeated ids are dropped."""
    seen: set[UUID] = set()
    by_order: dict[UUID, list[int]] = defaultdict(list)
    for envelope in log:
        if envelope.id not in seen:
            seen.add(envelope.id)
            by_order[UUID(envelope.event.key)].append(envelope.sequence)
    return by_order


async def mine(service: Service, prefix: str) -> dict[str, int]:
    return {name: times for name, times in (await toy.marks(service)).items() if prefix in name}


async def from_now_on(service: Service) -> Consumer:
    """Return the consumer of the service, behind the records that other tests have left on the topic."""
    (consumer,) = replace(service, reactions_start="now").consumers()
    await ensure_positions(service.database, service.settings.broker, consumer.subscription, time.time())
    return consumer


async def ready(consumer: Consumer) -> bool:
    return consumer.ready


async def at_end(service: Service, consumer: Consumer) -> bool:
    if not consumer._next or consumer._next != consumer._stored:
        return False
    return not any((await lag(service.settings.broker, service.name, ORDERS)).values())


def own_partition(order_id: UUID) -> int:
    return partition_of(str(order_id).encode(), PARTITIONS)


async def stopped(consumer: Consumer) -> bool:
    return bool(consumer._stops.partitions)


async def has(service: Service, tag: str, count: int) -> bool:
    return len(await mine(service, tag)) >= count
