"""Read the orders' topic twice: `python -m bench.consuming`, one job per line.

`bare` reads with an aiokafka client alone. Else the chassis's consumer decodes the events and claims them in the inbox,
with a reaction that does nothing. A job has the DSN, the Kafka address, the group, and the records to read.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import uvloop
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from bench.helper import serve
from crossdock_chassis import Broker, Database, Unit, on
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.consumer import BATCH_LIMIT, Consumer
from crossdock_chassis.messaging.positions import POSITIONS, REMEMBER
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_events import CATALOGUE, Envelope
from crossdock_events.orders import OrderEvent

SECONDS: Final = 60.0
Span = tuple[int, int]


def handle(job: dict[str, Any]) -> dict[str, Any]:
    """Return the records a second, and the processor seconds of this process for a record."""
    return uvloop.run(_bare(job) if job["bare"] else _ours(job))


async def _spans(client: AIOKafkaConsumer, count: int) -> dict[TopicPartition, Span]:
    """Return the offsets of about the last `count` records: first and behind the last, by partition."""
    topic = OrderEvent.topic.name
    partitions = [TopicPartition(topic, each) for each in await clients.partitions_of(client, topic)]
    ends = await client.end_offsets(partitions)
    return {tp: (max(0, end - count // len(partitions)), end) for tp, end in ends.items()}


async def _bare(job: Mapping[str, Any]) -> dict[str, Any]:
    client = await clients.start_consumer(Broker(job["kafka"]), None, client_id="bench")
    try:
        spans = await _spans(client, job["count"])
        client.assign(list(spans))
        for tp, (start, _) in spans.items():
            client.seek(tp, start)
        total = sum(end - start for start, end in spans.values())
        began: list[tuple[float, float]] = []
        read = 0
        async with asyncio.timeout(SECONDS):
            while read < total:
                fetched = await client.getmany(timeout_ms=200, max_records=BATCH_LIMIT)
                began.append((time.monotonic(), time.process_time()))
                read += sum(map(len, fetched.values()))
        return _rate(total, *began[0])
    finally:
        await client.stop()


async def _ours(job: Mapping[str, Any]) -> dict[str, Any]:
    client = await clients.start_consumer(Broker(job["kafka"]), None, client_id="bench")
    try:
        spans = await _spans(client, job["count"])
    finally:
        await client.stop()
    began: list[tuple[float, float]] = []

    async def nothing(unit: Unit, events: Sequence[Envelope[OrderEvent]]) -> None:
        began.append((time.monotonic(), time.process_time()))

    total = sum(end - start for start, end in spans.values())
    database = Database(job["dsn"], source="bench")
    subscription = Subscription(job["group"], "reaction", [on(OrderEvent, nothing)], CATALOGUE)
    stopping = asyncio.Event()
    columns = [[tp.topic for tp in spans], [tp.partition for tp in spans], [start for start, _ in spans.values()]]
    async with database.unit() as unit:
        await unit.sql.execute("TRUNCATE inbox")
        await unit.sql.execute(REMEMBER, job["group"], *columns)
    consuming = asyncio.create_task(Consumer(database, Broker(job["kafka"]), subscription).run(stopping))
    try:
        async with asyncio.timeout(SECONDS):
            while await _left(database, job["group"], spans):
                await asyncio.sleep(0.01)
        return _rate(total, *began[0])
    finally:
        stopping.set()
        await consuming
        await database.close()


async def _left(database: Database, group: str, spans: Mapping[TopicPartition, Span]) -> int:
    async with database.unit() as unit:
        rows = await unit.sql.fetch(POSITIONS, group)
    return sum(spans[TopicPartition(row["topic"], row["partition"])][1] - row["next"] for row in rows)


def _rate(records: int, began: float, cpu: float) -> dict[str, Any]:
    return {"rate": records / (time.monotonic() - began), "cpu": (time.process_time() - cpu) / records}


if __name__ == "__main__":
    serve(handle)
