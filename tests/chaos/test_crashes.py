"""Parts of the stack are killed under a steady load: nothing is lost, oversold or done twice, nobody waits in vain."""

import asyncio

from house import INVENTORY, ORDERS, House
from load import Outcome, load

ORDERS_PER_SCENARIO = 900


async def back(house: House, name: str) -> None:
    handle = house.stack.process(name)
    await asyncio.to_thread(handle.start)
    await asyncio.to_thread(handle.wait_ready)


async def crash(house: House, name: str) -> None:
    await asyncio.to_thread(house.stack.process(name).kill)
    await back(house, name)


def nothing_amiss(outcome: Outcome, orders: int = ORDERS_PER_SCENARIO) -> None:
    assert not outcome.refused, outcome.refused[:3]
    assert not outcome.clashes
    assert len(outcome.answered) == orders


async def test_the_api_dies_with_requests_in_flight(house: House) -> None:
    """Each answer that nobody saw resolves to one order when it is asked for again."""
    async with load(house, ORDERS_PER_SCENARIO) as running:
        for moment in (200, 550):
            await running.until(moment)
            await crash(house, f"{ORDERS}.api")
        outcome = await running.end()
    nothing_amiss(outcome)
    assert outcome.unseen > 0
    await house.adds_up()


async def test_the_workers_die_again_and_again(house: House) -> None:
    async with load(house, ORDERS_PER_SCENARIO) as running:
        for moment in (200, 550):
            await running.until(moment)
            await asyncio.gather(crash(house, f"{ORDERS}.worker"), crash(house, f"{INVENTORY}.worker"))
        outcome = await running.end()
    nothing_amiss(outcome)
    await house.adds_up()


async def test_the_broker_dies(house: House) -> None:
    """Orders are taken while it is away."""
    async with load(house, ORDERS_PER_SCENARIO) as running:
        await running.until(200)
        await asyncio.to_thread(house.stack.process("kafka").kill)
        await running.until(500)
        await back(house, "kafka")
        outcome = await running.end()
    nothing_amiss(outcome)
    await house.adds_up()


async def test_postgresql_dies(house: House) -> None:
    async with load(house, ORDERS_PER_SCENARIO) as running:
        for moment in (200, 550):
            await running.until(moment)
            await crash(house, "postgres")
        outcome = await running.end()
    nothing_amiss(outcome)
    assert outcome.unseen > 0
    await house.adds_up()


async def test_second_workers_come_and_go_in_mid_batch(house: House) -> None:
    """Once they leave in good order, once they die."""
    async with load(house, ORDERS_PER_SCENARIO) as running:
        await running.until(100)
        starting = (asyncio.to_thread(house.stack.extra_worker, service) for service in (ORDERS, INVENTORY))
        seconds = await asyncio.gather(*starting)
        await running.until(350)
        await asyncio.gather(*(asyncio.to_thread(second.stop) for second in seconds))
        await running.until(500)
        await asyncio.gather(*(asyncio.to_thread(second.restart) for second in seconds))
        await running.until(650)
        await asyncio.gather(*(asyncio.to_thread(second.kill) for second in seconds))
        outcome = await running.end()
    nothing_amiss(outcome)
    await house.adds_up()
