"""Concurrent orders, cancels, receipts and releases on a real database: no deadlock, and everything adds up."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from warehouse import Warehouse, cancelled, placed, sent

from crossdock_chassis import Moved, Service
from crossdock_chassis.testing import Deliver, Fresh
from crossdock_events.reservations import StockReserved
from inventory_service.reservations import store
from inventory_service.reservations.model import Status
from inventory_service.reservations.reserve import reserve
from inventory_service.service import Settings, build
from inventory_service.stock import store as stocks
from inventory_service.stock.model import NotOnHand

CLIENTS = 32


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    """With a connection for every client."""
    return await fresh(build, Settings, pool_size=CLIENTS + 4)


async def test_32_clients_reserve_one_scarce_item_without_overselling(warehouse: Warehouse) -> None:
    await warehouse.open("scarce", "plenty", "other")
    await warehouse.receive_all([("scarce", 60), ("plenty", 10_000), ("other", 10_000)])
    await warehouse.receive("scarce", 40, "south")

    async def client(number: int) -> None:
        chance = random.Random(number)
        for _ in range(6):
            lines = [("scarce", chance.randint(1, 3))]
            if number % 2:
                lines = [("plenty", 1), *lines, ("other", 2), ("scarce", 1), ("plenty", 3)]
                chance.shuffle(lines)
            await warehouse.reserve(
                *(placed(*lines, priority=chance.randint(0, 9)) for _ in range(chance.randint(1, 3)))
            )

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    await warehouse.drain()
    await warehouse.check()
    levels = await warehouse.levels()
    free = sum(on_hand - reserved for (item, _), (on_hand, reserved) in levels.items() if item == "scarce")
    assert free < 6  # nobody asked for more at once, and somebody waits
    assert await warehouse.fetch("SELECT FROM reservations WHERE status = 'waiting' LIMIT 1")


async def test_orders_cancels_receipts_releases_and_write_offs_add_up(warehouse: Warehouse) -> None:
    items = [f"item-{n}" for n in range(6)]
    await warehouse.open(*items)
    await warehouse.receive_all([(item, 30) for item in items])
    placed_so_far = [placed((item, 1)) for item in items]
    await warehouse.reserve(*placed_so_far)
    finished = asyncio.Event()

    async def orders(chance: random.Random) -> None:
        batch = [
            placed(
                *((chance.choice(items), chance.randint(1, 9)) for _ in range(chance.randint(1, 5))),
                priority=chance.randint(0, 9),
                partial=chance.random() < 0.3,
            )
            for _ in range(chance.randint(1, 8))
        ]
        placed_so_far.extend(batch)
        await warehouse.reserve(*batch, *chance.sample(placed_so_far, 2))

    async def cancels(chance: random.Random) -> None:
        await warehouse.cancel(
            *(order.order_id for order in chance.sample(placed_so_far, 3)), placed(("x", 1)).order_id
        )

    async def stock(chance: random.Random) -> None:
        some = [(item, chance.randint(1, 12)) for item in chance.sample(items, 3)]
        await warehouse.receive_all(some, chance.choice(("north", "south")))
        with suppress(NotOnHand):
            await warehouse.adjusts(*((item, -chance.randint(1, 5)) for item in chance.sample(items, 2)))

    async def client(number: int, does: Callable[[random.Random], Awaitable[None]]) -> None:
        chance = random.Random(number)
        for _ in range(12):
            await does(chance)

    async def worker() -> None:
        while not finished.is_set():
            await warehouse.serve(max_orders=5)

    working = [asyncio.create_task(worker()) for _ in range(2)]
    kinds = (orders, orders, cancels, stock)
    await asyncio.gather(*(client(number, kinds[number % 4]) for number in range(CLIENTS // 2)))
    finished.set()
    await asyncio.gather(*working)
    await warehouse.drain()
    await warehouse.check()
    statuses = Counter(row["status"] for row in await warehouse.fetch("SELECT status FROM reservations"))
    assert statuses[Status.OPEN] and statuses[Status.RELEASED]
    assert await warehouse.fetch("SELECT FROM movements WHERE kind = 'withdrawal' LIMIT 1")


async def test_two_batches_of_orders_and_cancels_do_not_deadlock(
    warehouse: Warehouse, service: Service, deliver: Deliver
) -> None:
    """Each batch takes first what the other gives back last."""
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 1_000), ("b", 1_000)])
    for _ in range(5):
        holds_a, holds_b = placed(("a", 1)), placed(("b", 1))
        await warehouse.reserve(holds_a, holds_b)
        await asyncio.gather(
            deliver(service, placed(("b", 1)), cancelled(holds_a.order_id)),
            deliver(service, placed(("a", 1)), cancelled(holds_b.order_id)),
        )
    await warehouse.check()


async def test_cancel_and_release_of_one_order_do_not_deadlock(
    warehouse: Warehouse, service: Service, deliver: Deliver
) -> None:
    """Serving locks the reservation, then the heads; so does a batch of orders and cancels."""
    await warehouse.open("a", "b")
    waits = placed(("a", 1), ("b", 1))
    await warehouse.reserve(waits)
    async with warehouse.database.unit() as serving:
        assert await store.lock_waiting(serving, [waits.order_id])
        cancelling = asyncio.create_task(deliver(service, placed(("b", 1)), cancelled(waits.order_id)))
        await warehouse.someone_waits(serving.sql)
        assert await stocks.lock(serving, ["a", "b"])
    await cancelling
    await warehouse.check()


async def test_order_sees_levels_committed_during_its_lock_wait(warehouse: Warehouse) -> None:
    """The statement boundary: a statement that locks and reads sees the levels as they were before it waited."""
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    async with warehouse.holding("a") as other:
        order = asyncio.create_task(warehouse.reserve(placed(("a", 4))))
        await warehouse.someone_waits(other.sql)
        await other.sql.execute("UPDATE levels SET on_hand = 9 WHERE item_id = 'a'")
        await other.sql.execute(
            "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at)"
            " VALUES ('a', 'north', 4, 0, 'receipt', 'r', gen_random_uuid(), now())"
        )
    await order
    assert (await warehouse.settle())["a"].available == 5  # of nine, not one of five
    await warehouse.check()


async def test_order_is_backordered_if_stock_goes_during_its_lock_wait(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    first, second = placed(("a", 4)), placed(("a", 4))
    async with warehouse.database.unit() as unit:
        await reserve(unit, [sent(first)])
        late = asyncio.create_task(warehouse.reserve(second))
        await warehouse.someone_waits(unit.sql)
    assert not any(isinstance(event, StockReserved) for event in await late)
    assert (await warehouse.held(second.order_id)).status is Status.WAITING
    await warehouse.check()


async def test_receipt_concurrent_with_a_new_backorder_serves_it(warehouse: Warehouse) -> None:
    """Either the order sees the receipt, or the receipt sees the order wait and queues the item: never neither."""
    await warehouse.open("a")
    for _ in range(25):
        order = placed(("a", 4))
        await asyncio.gather(warehouse.reserve(order), warehouse.receive("a", 4))
        await warehouse.drain()
        assert (await warehouse.held(order.order_id)).status is Status.OPEN
    await warehouse.check()


async def test_order_concurrent_with_its_cancel_reserves_nothing(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    for _ in range(25):
        order = placed(("a", 4))
        await asyncio.gather(warehouse.reserve(order), warehouse.cancel(order.order_id))
        assert (await warehouse.held(order.order_id)).status is Status.RELEASED
        assert await warehouse.levels() == {("a", "north"): (5, 0)}
    await warehouse.check()


MEANWHILE: dict[str, Callable[[Warehouse], Awaitable[object]]] = {
    "stock is reserved": lambda warehouse: warehouse.reserve(placed(("a", 5))),
    "stock arrives": lambda warehouse: warehouse.receive("a", 5),
    "an order begins to wait": lambda warehouse: warehouse.reserve(placed(("a", 50))),
    "the item is discontinued": lambda warehouse: warehouse.change("a", status="discontinued"),
}


@pytest.mark.parametrize("event", MEANWHILE)
async def test_reservation_is_not_written_if_something_moved(warehouse: Warehouse, event: str) -> None:
    """The order is then decided anew, under locks."""
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 8), ("b", 8)])
    order = placed(("a", 5), ("b", 1))
    with pytest.raises(Moved):
        async with warehouse.database.optimistic() as unit:
            await reserve(unit, [sent(order)])
            await MEANWHILE[event](warehouse)
    before = await warehouse.levels()
    assert before["b", "north"] == (8, 0)
    await warehouse.reserve(order)
    await warehouse.check()


async def test_reservation_meets_the_publication_of_levels(warehouse: Warehouse) -> None:
    """Publishing a level moves nothing. An event that is published now must follow the one published meanwhile."""
    await warehouse.open("a")
    await warehouse.receive("a", 8)
    await warehouse.reserve(placed(("a", 1)))
    async with warehouse.database.optimistic() as unit:
        await reserve(unit, [sent(placed(("a", 1)))])
        await warehouse.settle()
    assert await warehouse.levels() == {("a", "north"): (8, 2)}
    with pytest.raises(Moved):
        async with warehouse.database.optimistic() as unit:
            await reserve(unit, [sent(placed(("a", 6)))])  # a stock-out
            await warehouse.settle()
    await warehouse.check()


async def test_two_workers_on_one_item_sell_what_there_is(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 20)
    await asyncio.gather(*(warehouse.reserve(placed(("a", 1))) for _ in range(30)))
    assert await warehouse.levels() == {("a", "north"): (20, 20)}
    await warehouse.check()
