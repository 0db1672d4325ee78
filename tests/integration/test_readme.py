"""Run the README's subscriber and its own-items commands as they are written there, except for addresses and token."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from harness import INVENTORY, ORDERS, Harness, eventually, order

README = Path(__file__).parents[2] / "README.md"
TOPIC = "crossdock.orders.v1"


@pytest.fixture
def program() -> str:
    (found,) = re.findall(r"```python\n(import asyncio\n.*?)```", README.read_text(), re.DOTALL)
    return str(found)


async def _begin_at_the_end(harness: Harness, group: str) -> None:
    """Commit the current ends as the group's offsets, because other tests wrote records the subscriber cannot read."""
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


def _commands(harness: Harness) -> list[str]:
    """Return the two shell blocks of "Your own items", with the addresses of this stack."""
    (section,) = re.findall(r"^## Your own items.*?(?=^## )", README.read_text(), re.DOTALL | re.MULTILINE)
    addresses = {
        "http://127.0.0.1:8410": harness.stack.url(ORDERS),
        "http://127.0.0.1:8420": harness.stack.url(INVENTORY),
    }
    for written, actual in addresses.items():
        assert written in section
        section = section.replace(written, actual)
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


async def test_own_items_commands_end_in_a_confirmed_order(harness: Harness) -> None:
    environment = {**os.environ, "TOKEN": harness.token("acme")}

    def run(commands: str) -> str:
        return subprocess.run(
            ["sh", "-euc", commands], env=environment, check=True, capture_output=True, text=True
        ).stdout

    register, place = _commands(harness)
    assert register.count("curl ") == 3
    assert "problem" not in run(register)

    async def confirmed() -> bool:
        return bool(json.loads(await asyncio.to_thread(run, place)).get("status") == "confirmed")

    await eventually(confirmed)
