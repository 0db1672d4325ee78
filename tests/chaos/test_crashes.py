"""Kill parts of the stack under a steady load. Nothing is lost, oversold or duplicated, and no order waits in vain."""

import asyncio

from harness import INVENTORY, ORDERS, Harness
from load import Outcome, load

ORDERS_PER_SCENARIO = 900


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


async def test_the_api_dies_with_requests_in_flight(harness: Harness) -> None:
    """Each request whose answer was lost results in exactly one order after its retry."""
    async with load(harness, ORDERS_PER_SCENARIO) as running:
        for moment in (200, 550):
            await running.until(moment)
            await crash(harness, f"{ORDERS}.api")
        outcome = await running.end()
    nothing_amiss(outcome)
    assert outcome.unseen > 0
    await harness.adds_up()


async def test_the_workers_die_again_and_again(harness: Harness) -> None:
    async with load(harness, ORDERS_PER_SCENARIO) as running:
        for moment in (200, 550):
            await running.until(moment)
            await asyncio.gather(crash(harness, f"{ORDERS}.worker"), crash(harness, f"{INVENTORY}.worker"))
        outcome = await running.end()
    nothing_amiss(outcome)
    await harness.adds_up()


async def test_the_broker_dies(harness: Harness) -> None:
    """Orders are accepted while Kafka is down."""
    async with load(harness, ORDERS_PER_SCENARIO) as running:
        await running.until(200)
        await asyncio.to_thread(harness.stack.process("kafka").kill)
        await running.until(500)
        await back(harness, "kafka")
        outcome = await running.end()
    nothing_amiss(outcome)
    await harness.adds_up()


async def test_postgresql_dies(harness: Harness) -> None:
    async with load(harness, ORDERS_PER_SCENARIO) as running:
        for moment in (200, 550):
            await running.until(moment)
            await crash(harness, "postgres")
        outcome = await running.end()
    nothing_amiss(outcome)
    assert outcome.unseen > 0
    await harness.adds_up()


async def test_second_workers_come_and_go_in_mid_batch(harness: Harness) -> None:
    """The second workers are stopped once and killed once."""
    async with load(harness, ORDERS_PER_SCENARIO) as running:
        await running.until(100)
        starting = (asyncio.to_thread(harness.stack.another, "worker", service) for service in (ORDERS, INVENTORY))
        seconds = await asyncio.gather(*starting)
        await running.until(350)
        await asyncio.gather(*(asyncio.to_thread(second.stop) for second in seconds))
        await running.until(500)
        await asyncio.gather(*(asyncio.to_thread(second.restart) for second in seconds))
        await running.until(650)
        await asyncio.gather(*(asyncio.to_thread(second.kill) for second in seconds))
        outcome = await running.end()
    nothing_amiss(outcome)
    await harness.adds_up()
