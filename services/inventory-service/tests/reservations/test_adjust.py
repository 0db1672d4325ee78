"""Adjustments: stock that is gone is written off, and reserved stock is withdrawn from its orders."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from warehouse import Warehouse, line, placed, sent

from crossdock_events.orders import OrderPlaced
from crossdock_events.reservations import StockBackordered, StockReserved
from inventory_service.reservations import adjust
from inventory_service.reservations.model import Status
from inventory_service.reservations.reserve import reserve
from inventory_service.stock.model import NotOnHand


def gone(*lines: tuple[str, int], reference: str = "ADJ-1", location: str = "north") -> dict[str, object]:
    """Return an adjustment that writes off units of items."""
    missing = [line(item, -quantity) for item, quantity in lines]
    return {"reference": reference, "location_id": location, "reason": "damage", "lines": missing}


async def statuses(warehouse: Warehouse, orders: Sequence[OrderPlaced]) -> list[Status]:
    return [(await warehouse.held(order.order_id)).status for order in orders]


async def test_write_off_of_unreserved_stock_withdraws_nothing(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 10)
    order = placed(("a", 6))
    await warehouse.reserve(order)
    assert (await client.post("/v1/adjustments", json=gone(("a", 4)))).status_code == 201
    newest = (await client.get("/v1/ledger", params={"item_id": "a"})).json()["items"][0]
    assert (newest["on_hand"], newest["reserved"], newest["reason"]) == (-4, 0, "damage")
    assert await warehouse.levels() == {("a", "north"): (6, 6)}
    assert (await warehouse.held(order.order_id)).status is Status.OPEN
    await warehouse.check()


async def test_write_off_of_reserved_stock_returns_orders_to_backorder(
    warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    """The lowest priority loses first, then the youngest; a whole order loses everything that it holds."""
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 12), ("b", 9)])
    now = datetime.now(UTC)
    urgent, old = placed(("a", 3), priority=9), placed(("a", 3), ("b", 4))
    young, low = placed(("a", 3), ("b", 5)), placed(("a", 3), priority=1)
    ages = {urgent: 1, old: 3, young: 2, low: 4}
    await warehouse.reserve(*(replace(sent(each), time=now - timedelta(hours=age)) for each, age in ages.items()))
    answer = await client.post("/v1/adjustments", json=gone(("a", 4)))
    assert answer.status_code == 201, answer.text
    waiting, opened = Status.WAITING, Status.OPEN
    assert await statuses(warehouse, list(ages)) == [opened, opened, waiting, waiting]
    assert await warehouse.levels() == {("a", "north"): (8, 6), ("b", "north"): (9, 4)}
    lost = await warehouse.held(young.order_id)
    assert (lost.version, [(each.reserved, each.missing) for each in lost.lines]) == (2, [(0, 3), (0, 5)])
    withdrawn = (await client.get("/v1/ledger", params={"kind": "withdrawal"})).json()["items"]
    assert sorted((each["item_id"], each["reserved"], each["reference"]) for each in withdrawn) == sorted(
        [("a", -3, str(young.order_id)), ("b", -5, str(young.order_id)), ("a", -3, str(low.order_id))]
    )
    await warehouse.check()
    await warehouse.drain()
    assert await statuses(warehouse, [young, low]) == [waiting, waiting]
    await warehouse.receive("a", 1)
    events = await warehouse.drain()
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [young.order_id]
    await warehouse.check()


async def test_partial_order_loses_only_the_missing_units(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 6)
    order = placed(("a", 2), ("a", 4), partial=True)
    await warehouse.reserve(order)
    (reserved,) = await warehouse.adjusts(("a", -5))
    level = (await warehouse.settle())["a"]
    assert isinstance(reserved, StockReserved)
    assert [(each.reserved, each.backordered) for each in reserved.lines] == [(1, 1), (0, 4)]
    assert (level.available, level.causes) == (0, ("adjustment", "withdrawal"))
    backordered = (await warehouse.adjusts(("a", -1)))[0]
    assert isinstance(backordered, StockBackordered)
    await warehouse.check()
    await warehouse.receive("a", 6)
    assert isinstance((await warehouse.drain())[0], StockReserved)
    assert (await warehouse.held(order.order_id)).status is Status.OPEN
    await warehouse.check()


async def test_withdrawn_order_is_served_from_another_location(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    order = placed(("a", 3))
    await warehouse.reserve(order)
    await warehouse.receive("a", 3, "south")
    assert isinstance((await warehouse.adjusts(("a", -3)))[0], StockBackordered)  # no more of it is free than before
    await warehouse.drain()
    served = await warehouse.held(order.order_id)
    assert (served.status, served.lines[0].allocations[0].location_id) == (Status.OPEN, "south")
    await warehouse.check()


async def test_write_off_beyond_the_stock_on_hand_is_refused(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 5), ("b", 1)])
    order = placed(("a", 5))
    await warehouse.reserve(order)
    before = await warehouse.stored()
    refused = await client.post("/v1/adjustments", json=gone(("b", 1), ("a", 4), ("a", 2)))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:not-on-hand")
    assert refused.json()["short"] == [{"item_id": "a", "location_id": "north", "requested": 6, "on_hand": 5}]
    assert await warehouse.stored() == before
    assert (await warehouse.held(order.order_id)).status is Status.OPEN
    await warehouse.check()


async def test_write_off_of_too_many_orders_is_refused(
    warehouse: Warehouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjust, "MAX_WITHDRAWN", 2)
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    await warehouse.reserve(*(placed(("a", 1)) for _ in range(3)))
    refused = await client.post("/v1/adjustments", json=gone(("a", 3)))
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:too-many-withdrawn")
    assert (await client.post("/v1/adjustments", json=gone(("a", 2)))).status_code == 201
    assert (await client.post("/v1/adjustments", json=gone(("a", 1), reference="ADJ-2"))).status_code == 201
    await warehouse.check()


async def test_repeated_write_off_counts_once(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 4)
    await warehouse.reserve(placed(("a", 1)), placed(("a", 3)))
    answers = [await client.post("/v1/adjustments", json=gone(("a", 1))) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert sum(on_hand for on_hand, _ in (await warehouse.levels()).values()) == 3
    await warehouse.check()


async def test_order_reserved_during_the_lock_wait_can_lose_its_stock(warehouse: Warehouse) -> None:
    """The plan made without locks names no order; the plan under the locks names one that was reserved meanwhile."""
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 5), ("b", 5)])
    late = placed(("a", 4), ("b", 1))
    async with warehouse.holding("a") as other:
        writing_off = asyncio.create_task(warehouse.adjusts(("a", -3)))
        await warehouse.someone_waits(other.sql)
        await reserve(other, [sent(late)])
    assert isinstance((await writing_off)[0], StockBackordered)
    assert await warehouse.levels() == {("a", "north"): (2, 0), ("b", "north"): (5, 0)}
    await warehouse.check()


async def test_write_off_concurrent_with_a_cancel_of_its_order_ends(warehouse: Warehouse) -> None:
    await warehouse.open("a", "b")
    for _ in range(10):
        await warehouse.receive_all([("a", 2), ("b", 2)])
        order = placed(("b", 2), ("a", 2))
        await warehouse.reserve(order)
        await asyncio.gather(warehouse.adjusts(("a", -1)), warehouse.cancel(order.order_id))
        assert (await warehouse.held(order.order_id)).status is Status.RELEASED
        with pytest.raises(NotOnHand):
            await warehouse.adjusts(("a", -2))
        await warehouse.adjusts(("a", -1), ("b", -2))
        assert await warehouse.levels() == {}
    await warehouse.check()
