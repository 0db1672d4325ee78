"""Run each service as one process, API and worker together, and kill one under load."""

import asyncio
import tempfile
from pathlib import Path

from harness import ORDERS, Harness, order
from load import load

from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

ORDERS_POSTED = 150


async def test_orders_survive_a_killed_process_with_api_and_worker() -> None:
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the user of PostgreSQL must be able to enter the folder
        stack = Stack(Path(folder), Ports.free(), engine=engine_for_tests(), together=True)
        with stack:
            harness = Harness(stack)
            (item,) = await harness.items(on_hand=10)
            async with harness.client() as client:
                placed = await harness.post(client, order("PO-1", (item, 4)))
                await harness.until(client, placed["id"], "confirmed")
            async with load(harness, ORDERS_POSTED) as running:
                await running.until(ORDERS_POSTED // 3)
                process = stack.process(f"{ORDERS}.all")
                await asyncio.to_thread(process.kill)
                await asyncio.to_thread(process.start)
                await asyncio.to_thread(process.wait_ready)
                outcome = await running.end()
            assert not outcome.refused, outcome.refused[:3]
            assert not outcome.clashes
            assert outcome.unseen > 0
            assert len(outcome.answered) == ORDERS_POSTED
            await harness.adds_up()
