"""Read and commit the offsets of consumer groups that other programs belong to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from harness import Harness, eventually


@asynccontextmanager
async def _member(harness: Harness, group: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer that reads and commits the group's offsets on all partitions without joining the group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=harness.stack.kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(12)])
        yield consumer
    finally:
        await consumer.stop()


async def begin_at_the_end(harness: Harness, group: str, topic: str) -> None:
    """Commit the current ends as the group's offsets, because other tests wrote records the subscriber cannot read."""
    async with _member(harness, group, topic) as consumer:
        await consumer.commit(await consumer.end_offsets(consumer.assignment()))


async def until_the_end(harness: Harness, group: str, topic: str) -> None:
    """Wait until the group has committed the current ends."""
    async with _member(harness, group, topic) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())

        async def there() -> bool:
            return all([await consumer.committed(partition) == end for partition, end in ends.items()])

        await eventually(there)
