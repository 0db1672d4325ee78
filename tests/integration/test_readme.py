"""Run the README's subscriber and its own-items commands as they are written there, except for addresses and token."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from groups import begin_at_the_end, until_the_end
from harness import INVENTORY, ORDERS, Harness, eventually, order

from crossdock_cli.verify.log import Entry

README = Path(__file__).parents[2] / "README.md"
TOPIC = "crossdock.orders.v1"


@pytest.fixture
def program() -> str:
    (found,) = re.findall(r"```python\n(import asyncio\n.*?)```", README.read_text(), re.DOTALL)
    return str(found)


def _group(program: str) -> str:
    (group,) = re.findall(r'group_id="([^"]+)"', program)
    return str(group)


@pytest.fixture
async def written(harness: Harness, program: str) -> str:
    """Return the program for this stack. Its group starts at the end of the topic."""
    own = f"{_group(program)}-{uuid4().hex[:8]}"
    await begin_at_the_end(harness, own, TOPIC)
    (broker,) = re.findall(r'bootstrap_servers="([^"]+)"', program)
    return program.replace(broker, harness.stack.kafka).replace(_group(program), own)


@asynccontextmanager
async def _running(program: str, folder: Path) -> AsyncIterator[AsyncIterator[list[str]]]:
    """Run the program in the folder. Yield the fields of each line that it prints, and kill it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", program, stdout=asyncio.subprocess.PIPE, cwd=folder
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield (line.decode().split() async for line in process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_prints_what_happens_to_an_order(harness: Harness, written: str, tmp_path: Path) -> None:
    (item,) = await harness.items(on_hand=1)
    reference = f"PO-{uuid4().hex[:12]}"
    async with harness.client() as client:
        await harness.post(client, order(reference, (item, 1)))
    printed = []
    async with _running(written, tmp_path) as lines:
        async for line in lines:
            if line[-1] == reference:
                printed.append(line)
            if len(printed) == 2:
                break
    assert printed == [["crossdock.OrderPlaced.v1", "1", reference], ["crossdock.OrderConfirmed.v1", "2", reference]]


STUCK = """
import functools
AIOKafkaConsumer = functools.partial(AIOKafkaConsumer, auto_commit_interval_ms=50)
finish, begun = handle, 0


async def handle(kind, sequence, order):
    global begun
    begun += 1
    if begun == 4:
        await asyncio.sleep(1)  # time for an automatic commit, if there is one
        print("stuck", kind, sequence, order["reference"])
        await asyncio.sleep(3600)
    await finish(kind, sequence, order)


asyncio.run(main())
"""
"""The end of a program whose handler is still busy with its fourth event when it is killed."""


async def test_killed_subscriber_loses_and_repeats_no_event(harness: Harness, written: str, tmp_path: Path) -> None:
    (item,) = await harness.items(on_hand=5)
    references = {f"PO-{uuid4().hex[:12]}" for _ in range(5)}
    ids = []
    async with harness.client() as client:
        for reference in references:
            placed = await harness.post(client, order(reference, (item, 1)))
            await harness.until(client, placed["id"], "confirmed")
            ids.append(placed["id"])

    async def published() -> list[Entry] | None:
        by_key = (await harness.log(TOPIC)).by_key(TOPIC)
        entries = [entry for order_id in ids for entry in by_key.get(order_id, ())]
        return entries if len(entries) == 10 else None

    await harness.copy(await eventually(published))  # each event arrives twice
    handled = []
    async with _running(written.replace("asyncio.run(main())", STUCK), tmp_path) as lines:
        async for line in lines:
            if line[0] == "stuck":
                break
            handled.append(line)
    assert len(handled) == 3
    async with _running(written, tmp_path) as lines:
        rest = asyncio.create_task(_all(lines))
        await until_the_end(harness, _group(written), TOPIC)
    handled += await rest
    ours = [(reference, sequence) for _, sequence, reference in handled if reference in references]
    assert sorted(ours) == sorted((reference, sequence) for reference in references for sequence in "12")


async def _all(lines: AsyncIterator[list[str]]) -> list[list[str]]:
    return [line async for line in lines]


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
