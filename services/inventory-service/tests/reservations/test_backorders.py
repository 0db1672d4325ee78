"""The release queue: which backorders get stock, and when."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from warehouse import Warehouse, placed, sent

from crossdock_chassis.jobs import declare, worker
from crossdock_chassis.jobs.worker import Jobs
from crossdock_events.reservations import StockReserved
from inventory_service.reservations import backorders
from inventory_service.reservations.model import Demand, Status, sort_key


async def test_partial_order_takes_free_stock_now_and_the_rest_later(warehouse: Warehouse) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive("a", 3)
    order = placed(("a", 5), ("b", 1), partial=True)
    answer = (await warehouse.reserve(order))[0]
    assert isinstance(answer, StockReserved) and [line.backordered for line in answer.lines] == [2, 1]
    await warehouse.receive("a", 1, "south")
    again = (await warehouse.drain())[0]
    assert isinstance(again, StockReserved)
    assert [(line.reserved, line.backordered) for line in again.lines] == [(4, 1), (0, 1)]
    assert [(each.location_id, each.quantity) for each in again.lines[0].allocations] == [("north", 3), ("south", 1)]
    await warehouse.receive_all([("a", 9), ("b", 9)])
    last = (await warehouse.drain())[0]
    assert isinstance(last, StockReserved) and not any(line.backordered for line in last.lines)
    held = await warehouse.held(order.order_id)
    assert held.status is Status.OPEN and held.version == 3
    await warehouse.check()


async def test_release_queue_serves_by_priority_then_age(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    low, high, later = placed(("a", 2), priority=1), placed(("a", 2), priority=9), placed(("a", 2), priority=1)
    await warehouse.reserve(low, later)
    await warehouse.reserve(high)
    receipt = await warehouse.receive("a", 5)
    assert receipt.created and (await warehouse.held(high.order_id)).status is Status.WAITING
    events = await warehouse.drain()
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [high.order_id, low.order_id]
    assert (await warehouse.held(later.order_id)).status is Status.WAITING
    await warehouse.check()


RESTS = """
    SELECT FROM pg_stat_activity, job WHERE application_name = 'inventory-service-jobs' AND query LIKE 'LISTEN%'
      AND kind LIKE '%.serve_backorders' AND seconds IS NOT NULL
"""


@pytest.mark.parametrize("arrives", ["stock", "item"])
async def test_queued_item_wakes_the_job_that_serves_backorders(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, arrives: str
) -> None:
    """No poll finds the queue within the time of the test."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 3_600.0)
    monkeypatch.setattr(declare, "REST_SECONDS", 3_600.0)
    await warehouse.open("a")
    order = placed(("a", 2))
    await warehouse.reserve(order)
    if arrives == "item":
        await warehouse.change("a", status="discontinued")
        await warehouse.receive("a", 2)
    stop = asyncio.Event()
    jobs = asyncio.create_task(Jobs(warehouse.database, warehouse.service.jobs).run(stop))
    try:
        async with asyncio.timeout(30):
            while not await warehouse.fetch(RESTS):
                await asyncio.sleep(0.02)
            if arrives == "item":
                await warehouse.change("a", status="active")
            else:
                await warehouse.receive("a", 2)
            while (await warehouse.held(order.order_id)).status is not Status.OPEN:
                await asyncio.sleep(0.02)
    finally:
        stop.set()
        await jobs


async def test_release_queue_is_served_over_several_units(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    orders = [placed(("a", 1)) for _ in range(7)]
    await warehouse.reserve(*orders)
    await warehouse.receive("a", 6)
    assert [sum(isinstance(e, StockReserved) for e in await warehouse.serve(max_orders=3)) for _ in range(3)] == [
        3,
        3,
        0,
    ]
    assert not await warehouse.fetch("SELECT FROM release_queue")
    await warehouse.check()


async def test_old_backorder_earmarks_receipts_until_they_suffice(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    large = replace(sent(placed(("a", 10))), time=datetime.now(UTC) - timedelta(days=2))
    await warehouse.reserve(large)
    small = placed(("a", 3))
    await warehouse.receive("a", 6)
    await warehouse.reserve(small)
    assert await warehouse.drain() == [] and (await warehouse.held(small.order_id)).status is Status.WAITING
    await warehouse.check()
    await warehouse.receive("a", 4)
    events = await warehouse.drain()
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [large.event.order_id]
    await warehouse.check()


async def test_cancelled_backorder_frees_its_earmarked_stock(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    large, small = placed(("a", 10)), placed(("a", 3))
    await warehouse.reserve(large)
    await warehouse.receive("a", 6)
    await warehouse.reserve(small)
    everyone = timedelta(microseconds=1)
    assert await warehouse.drain(earmark_after=everyone) == []
    await warehouse.cancel(large.order_id)
    events = await warehouse.drain(earmark_after=everyone)
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [small.order_id]
    await warehouse.check()


async def test_backorder_of_a_discontinued_item_waits_until_active(warehouse: Warehouse) -> None:
    await warehouse.open("a", "b")
    waiting, other = placed(("a", 3), ("b", 1)), placed(("b", 2))
    await warehouse.reserve(waiting)
    await warehouse.change("a", status="discontinued")
    await warehouse.receive_all([("a", 3), ("b", 2)])
    await warehouse.reserve(other)
    events = await warehouse.drain(earmark_after=timedelta(microseconds=1))  # what cannot be served sets nothing aside
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [other.order_id]
    await warehouse.check()
    await warehouse.change("a", status="active")
    await warehouse.receive("b", 1)
    events = await warehouse.drain()
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [waiting.order_id]
    await warehouse.check()


async def test_reactivated_item_serves_the_orders_that_wait(warehouse: Warehouse) -> None:
    """No stock arrives afterwards that would serve them. Items of other orders are not looked at."""
    await warehouse.open("a", "b", "c")
    waiting, other = placed(("a", 3), ("b", 1)), placed(("c", 1))
    await warehouse.reserve(waiting, other)
    await warehouse.change("a", status="discontinued")
    await warehouse.receive_all([("a", 3), ("b", 1)])
    assert await warehouse.drain() == []
    await warehouse.change("a", status="active")
    assert {row["item_id"] for row in await warehouse.fetch("SELECT item_id FROM release_queue")} == {"a", "b"}
    events = await warehouse.drain()
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [waiting.order_id]
    await warehouse.check()


async def test_discontinued_item_frees_what_its_order_earmarked(warehouse: Warehouse) -> None:
    """The order can be served no longer, so the stock of its other item is for younger orders."""
    await warehouse.open("a", "b")
    await warehouse.receive("b", 1)
    old = replace(sent(placed(("a", 1), ("b", 1))), time=datetime.now(UTC) - timedelta(days=2))
    await warehouse.reserve(old)
    young = placed(("b", 1))
    await warehouse.reserve(young)
    assert await warehouse.drain() == []
    await warehouse.change("a", status="discontinued")
    events = await warehouse.drain()
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [young.order_id]
    await warehouse.check()


async def test_looking_at_few_orders_serves_like_looking_at_all(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many backorders of few items, some partial and some that earmark, are served over many short looks."""
    monkeypatch.setattr(backorders, "LOOK_AT", 2)
    chance = random.Random(13)
    items, day = ["a", "b", "c", "d"], timedelta(days=1)
    await warehouse.open(*items)
    for _ in range(6):
        orders = [
            replace(
                sent(
                    placed(
                        *((item, chance.randint(1, 6)) for item in chance.sample(items, chance.randint(1, 3))),
                        priority=chance.randint(3, 6),
                        partial=chance.random() < 0.3,
                    )
                ),
                time=datetime.now(UTC) - chance.randint(0, 3) * day / 2,
            )
            for _ in range(12)
        ]
        await warehouse.reserve(*orders)
        await warehouse.receive_all([(item, chance.randint(1, 12)) for item in chance.sample(items, 2)])
        await warehouse.cancel(chance.choice(orders).event.order_id)
        await warehouse.drain()
        await warehouse.check()
    found = {row["status"] for row in await warehouse.fetch("SELECT DISTINCT status FROM reservations")}
    assert found == {Status.OPEN, Status.WAITING, Status.RELEASED}


async def test_sweep_begins_again_if_earlier_orders_can_be_served(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backorders, "LOOK_AT", 1)
    await warehouse.open("a", "b")
    first, second = placed(("a", 5), ("b", 1), priority=9), placed(("a", 5), priority=1)
    await warehouse.reserve(first, second)
    await warehouse.receive("a", 5)
    assert await warehouse.serve() == []  # the first order lacks b; the sweep has passed it
    await warehouse.receive_all([("a", 5), ("b", 1)])
    events = await warehouse.drain()
    served = [event.order_id for event in events if isinstance(event, StockReserved)]
    assert served == [first.order_id, second.order_id]
    await warehouse.check()


async def test_earmark_of_another_item_is_respected(warehouse: Warehouse) -> None:
    """The order that a receipt may serve also wants an item that an older order earmarks."""
    await warehouse.open("a", "b", "gone")
    await warehouse.receive("b", 1)
    old = replace(sent(placed(("b", 1), ("gone", 1))), time=datetime.now(UTC) - timedelta(days=2))
    await warehouse.reserve(old)
    young = placed(("a", 1), ("b", 1))
    await warehouse.reserve(young)
    await warehouse.drain()
    await warehouse.receive("a", 1)
    assert await warehouse.drain() == []
    await warehouse.check()
    await warehouse.cancel(old.event.order_id)
    await warehouse.drain()
    assert (await warehouse.held(young.order_id)).status is Status.OPEN
    await warehouse.check()


async def test_cancelled_backorder_is_not_served(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    order = placed(("a", 3))
    await warehouse.reserve(order)
    await warehouse.cancel(order.order_id)
    await warehouse.receive("a", 3)
    assert await warehouse.drain() == []
    await warehouse.check()


async def test_sql_sorts_backorders_like_the_model(warehouse: Warehouse) -> None:
    """Every priority, times that are equal and times that differ, ids in every order."""
    chance = random.Random(7)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    demands = [
        Demand(uuid4(), chance.randint(0, 9), start + timedelta(seconds=chance.randint(0, 3)), False, ())
        for _ in range(200)
    ]
    rows = await warehouse.fetch(
        f"""
        SELECT order_id FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[])
             AS reservation (order_id, priority, placed_at)
        ORDER BY {sort_key("reservation")}
        """,
        [demand.order_id for demand in demands],
        [demand.priority for demand in demands],
        [demand.placed_at for demand in demands],
    )
    assert [row["order_id"] for row in rows] == [d.order_id for d in sorted(demands, key=lambda each: each.turn)]
