"""Freeze PostgreSQL for 24 s under 40 readers and some writers. The services answer 503, then work as before."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import httpx
import psutil
from harness import Harness, eventually, order

FROZEN_SECONDS = 24.0
READERS = 40
WRITERS = 4


@asynccontextmanager
async def frozen(harness: Harness) -> AsyncIterator[None]:
    """Stop the server's processes, and continue them at the end of the block."""
    look = await asyncpg.connect(harness.stack.servers.databases.admin_dsn)
    try:
        postmaster = psutil.Process(await look.fetchval("SELECT pg_backend_pid()")).parent()
    finally:
        await look.close()
    assert postmaster is not None
    family = [postmaster, *postmaster.children()]
    for each in family:
        each.suspend()
    try:
        yield
    finally:
        for each in family:
            each.resume()


async def test_services_work_after_the_database_was_frozen(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=100_000)
    started = {each.name: each.pid for each in harness.stack.status()}
    answers: Counter[int] = Counter()
    stop = asyncio.Event()

    async def read(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            _count(answers, await client.get("/v1/orders", params={"limit": 1}))

    async def write(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            body = order(f"FROZEN-{uuid4().hex[:12]}", (item, 1))
            answer = await client.post("/v1/orders", json=body)
            _count(answers, answer)
            if answer.status_code == 201:
                harness.accepted["acme", body["reference"]] = answer.json()["id"]

    async with harness.client() as client, asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(read(client))
        for _ in range(WRITERS):
            group.create_task(write(client))
        await eventually(_reached(answers, 200))
        async with frozen(harness):
            await asyncio.sleep(FROZEN_SECONDS)
        answers.clear()
        await eventually(_reached(answers, 2_000))
        stop.set()
    print(f"after the freeze: {dict(answers)}", flush=True)
    async with harness.client() as client:
        for _ in range(100):  # each connection of the pool serves a writer once
            await harness.post(client, order(f"AFTER-{uuid4().hex[:12]}", (item, 1)))
    assert {each.name: each.pid for each in harness.stack.status()} == started, "no process ended"
    await harness.adds_up()


def _reached(answers: Counter[int], count: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return answers.total() >= count

    return reached


def _count(answers: Counter[int], answer: httpx.Response) -> None:
    assert answer.status_code in (200, 201, 503), answer.text
    assert answer.status_code != 503 or "retry-after" in answer.headers
    answers[answer.status_code] += 1
