"""Kill parts of the stack under a steady load of orders, complaints and mails.

Nothing is lost, oversold or duplicated, no order waits in vain, and each complaint and mail has one case.
"""

import asyncio
from collections import Counter

from harness import CRM, INVENTORY, ORDERS, Harness
from load import Outcome, load

from crossdock_local.post_office import kept

ORDERS_PER_SCENARIO = 480
CASES = """
    SELECT sender, count(DISTINCT case_id) FROM mails WHERE direction = 'in' AND sender = ANY ($1)
    GROUP BY sender ORDER BY sender
"""
COMPLAINTS = "SELECT order_id::text, case_id::text FROM case_ties WHERE order_id = ANY ($1::uuid[]) ORDER BY 1"


async def back(harness: Harness, name: str) -> None:
    handle = harness.stack.process(name)
    await asyncio.to_thread(handle.start)
    await asyncio.to_thread(handle.wait_ready)


async def crash(harness: Harness, name: str) -> None:
    await asyncio.to_thread(harness.stack.process(name).kill)
    await back(harness, name)


def nothing_amiss(outcome: Outcome, orders: int = ORDERS_PER_SCENARIO) -> None:
    assert not outcome.refused, outcome.refused[:3]
    assert not outcome.clashes
    assert len(outcome.answered) == orders


async def add_up(harness: Harness, outcome: Outcome) -> None:
    """Verify the stack. Each complaint and each mail has one case, and no acknowledgement went out twice."""
    await harness.adds_up()
    assert len(outcome.complaints) == len(outcome.senders) == ORDERS_PER_SCENARIO // 20
    async with harness.database(CRM) as sql:
        complaints = [tuple(row) for row in await sql.fetch(COMPLAINTS, list(outcome.complaints))]
        mailed = [tuple(row) for row in await sql.fetch(CASES, outcome.senders)]
    assert complaints == sorted(outcome.complaints.items())
    assert mailed == [(each, 1) for each in sorted(outcome.senders)]
    acknowledged = Counter(envelope["to"] for envelope, _ in await asyncio.to_thread(kept, harness.stack.home.mail))
    counts = [acknowledged[each] for each in outcome.senders]
    assert max(counts) == 1 and sum(counts) >= len(counts) // 2, counts


async def test_the_api_dies_with_requests_in_flight(harness: Harness) -> None:
    """Each request whose answer was lost results in exactly one order after its retry."""
    async with load(harness, ORDERS_PER_SCENARIO, desk=True) as running:
        for moment in (105, 295):
            await running.until(moment)
            await asyncio.gather(crash(harness, f"{ORDERS}.api"), crash(harness, f"{CRM}.api"))
        outcome = await running.end()
    nothing_amiss(outcome)
    assert outcome.unseen > 0
    await add_up(harness, outcome)


async def test_the_workers_die_again_and_again(harness: Harness) -> None:
    async with load(harness, ORDERS_PER_SCENARIO, desk=True) as running:
        for moment in (105, 295):
            await running.until(moment)
            await asyncio.gather(*(crash(harness, f"{each}.worker") for each in (ORDERS, INVENTORY, CRM)))
        outcome = await running.end()
    nothing_amiss(outcome)
    await add_up(harness, outcome)


async def test_the_broker_dies(harness: Harness) -> None:
    """Orders are accepted while Kafka is down."""
    async with load(harness, ORDERS_PER_SCENARIO, desk=True) as running:
        await running.until(105)
        await asyncio.to_thread(harness.stack.process("kafka").kill)
        await running.until(265)
        await back(harness, "kafka")
        outcome = await running.end()
    nothing_amiss(outcome)
    await add_up(harness, outcome)


async def test_postgresql_dies(harness: Harness) -> None:
    async with load(harness, ORDERS_PER_SCENARIO, desk=True) as running:
        for moment in (105, 295):
            await running.until(moment)
            await crash(harness, "postgres")
        outcome = await running.end()
    nothing_amiss(outcome)
    assert outcome.unseen > 0
    await add_up(harness, outcome)


async def test_second_workers_come_and_go_in_mid_batch(harness: Harness) -> None:
    """The second workers are stopped once and killed once."""
    async with load(harness, ORDERS_PER_SCENARIO, desk=True) as running:
        await running.until(55)
        starting = (asyncio.to_thread(harness.stack.another, "worker", service) for service in (ORDERS, INVENTORY))
        seconds = await asyncio.gather(*starting)
        await running.until(185)
        await asyncio.gather(*(asyncio.to_thread(second.stop) for second in seconds))
        await running.until(265)
        await asyncio.gather(*(asyncio.to_thread(second.restart) for second in seconds))
        await running.until(345)
        await asyncio.gather(*(asyncio.to_thread(second.kill) for second in seconds))
        outcome = await running.end()
    nothing_amiss(outcome)
    await add_up(harness, outcome)
