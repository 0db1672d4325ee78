"""The subscriber of the README runs as it is written there, but for the address of the broker."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from harness import Harness, order

README = Path(__file__).parents[2] / "README.md"
TOPIC = "crossdock.orders.v1"


@pytest.fixture
def program() -> str:
    (found,) = re.findall(r"```python\n(import asyncio\n.*?)```", README.read_text(), re.DOTALL)
    return str(found)


async def _begin_at_the_end(harness: Harness, group: str) -> None:
    """As a group that has read so far: other tests have put bytes there that no subscriber should meet."""
    consumer = AIOKafkaConsumer(bootstrap_servers=harness.stack.kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(12)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


@pytest.fixture
async def subscriber(harness: Harness, program: str) -> AsyncIterator[asyncio.subprocess.Process]:
    (group,) = re.findall(r'group_id="([^"]+)"', program)
    await _begin_at_the_end(harness, group)
    (broker,) = re.findall(r'bootstrap_servers="([^"]+)"', program)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", program.replace(broker, harness.stack.kafka), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_prints_what_happens_to_an_order(harness: Harness, subscriber: asyncio.subprocess.Process) -> None:
    (item,) = await harness.items(on_hand=1)
    reference = f"PO-{uuid4().hex[:12]}"
    async with harness.client() as client:
        await harness.post(client, order(reference, (item, 1)))
    printed = []
    assert subscriber.stdout is not None
    async with asyncio.timeout(60):
        async for line in subscriber.stdout:
            if line.decode().endswith(f" {reference}\n"):
                printed.append(line.decode().split())
            if len(printed) == 2:
                break
    assert printed == [["crossdock.OrderPlaced.v1", "1", reference], ["crossdock.OrderConfirmed.v1", "2", reference]]
