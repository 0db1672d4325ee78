"""Kill PostgreSQL and Kafka together, again and again under load. Nothing restarts the services, which must come back.

CROSSDOCK_LONG_KILLS is the number of kills, 50 if it is not set.
"""

import asyncio
import os
import random
import time
from uuid import uuid4

from harness import Harness, eventually, order
from load import load

KILLS = int(os.environ.get("CROSSDOCK_LONG_KILLS", "50"))
ORDERS_PER_KILL = 300
LONGEST_OUTAGE_SECONDS = 4.0
BACK_SECONDS = 30.0
"""The time from the servers' return until every process is ready and a new order is confirmed."""


async def test_services_return_after_joint_kills(harness: Harness) -> None:
    chance = random.Random(8)
    (item,) = await harness.items(on_hand=KILLS)
    for number in range(1, KILLS + 1):
        outage = chance.uniform(0, LONGEST_OUTAGE_SECONDS)
        async with load(harness, ORDERS_PER_KILL, seed=number) as running:
            await running.until(chance.randrange(20, ORDERS_PER_KILL // 2))
            await _kill_both(harness, outage)
            ready, confirmed = await _back(harness, item)
            outcome = await running.end()
        print(
            f"kill {number} of {KILLS}: outage {outage:.1f} s, ready after {ready:.1f} s, "
            f"an order confirmed after {confirmed:.1f} s",
            flush=True,
        )
        assert not outcome.refused, outcome.refused[:3]
        assert not outcome.clashes
        assert len(outcome.answered) == ORDERS_PER_KILL
    await harness.adds_up()


async def _kill_both(harness: Harness, outage: float) -> None:
    """Kill both servers at the same time, and start them again after `outage` seconds."""
    servers = [harness.stack.process(name) for name in ("postgres", "kafka")]
    await asyncio.gather(*(asyncio.to_thread(each.kill) for each in servers))
    await asyncio.sleep(outage)
    await asyncio.gather(*(asyncio.to_thread(each.start) for each in servers))
    await asyncio.gather(*(asyncio.to_thread(each.wait_ready) for each in servers))


async def _back(harness: Harness, item: str) -> tuple[float, float]:
    """Return the seconds until every process is ready, and until a new order is confirmed."""
    began = time.monotonic()

    def left() -> float:
        return BACK_SECONDS - (time.monotonic() - began)

    async def all_ready() -> bool:
        return await asyncio.to_thread(lambda: harness.stack.running)

    try:
        await eventually(all_ready, BACK_SECONDS)
    except TimeoutError:
        states = [(each.name, each.state) for each in harness.stack.status() if each.state != "ready"]
        raise AssertionError(f"not ready {BACK_SECONDS:.0f} s after the servers: {states}") from None
    ready = time.monotonic() - began
    async with harness.client() as client:
        body = order(f"BACK-{uuid4().hex[:12]}", (item, 1))

        async def accepted() -> str | None:
            answer = await client.post("/v1/orders", json=body)
            if answer.status_code not in (200, 201):
                assert "retry-after" in answer.headers, answer.text
                return None
            return str(answer.json()["id"])

        identifier = await eventually(accepted, left())
        harness.accepted["acme", body["reference"]] = identifier

        async def confirmed() -> bool:
            return bool((await harness.get(client, identifier))["status"] == "confirmed")

        await eventually(confirmed, left())
    return ready, time.monotonic() - began
