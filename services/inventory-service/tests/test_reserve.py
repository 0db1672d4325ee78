"""Orders get stock, wait for it, or are refused; and what that does to levels, ledger and events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7
from warehouse import Warehouse, cancelled, placed, sent

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver
from crossdock_events import Cause
from crossdock_events.reservations import StockBackordered, StockRejected, StockReleased, StockReserved
from crossdock_events.stock import StockLevelChanged
from inventory_service.reservations.model import Status


async def test_an_order_is_delivered_twice_and_reserved_once(
    service: Service, warehouse: Warehouse, deliver: Deliver
) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive("a", 5)
    await warehouse.receive("b", 5, "south")
    order = placed(("a", 2), ("b", 1), ("a", 1))
    events = await deliver(service, order)
    (answer,) = (event for event in events if isinstance(event, StockReserved))
    assert [(line.line_id, line.reserved, line.allocations[0].location_id) for line in answer.lines] == [
        ("1", 2, "north"),
        ("2", 1, "south"),
        ("3", 1, "north"),
    ]
    levels = {event.item_id: event for event in events if isinstance(event, StockLevelChanged)}
    assert len(events) == 3 and (levels["a"].available, levels["b"].available) == (2, 4)
    assert levels["a"].causes == ("reservation",)
    assert await warehouse.levels() == {("a", "north"): (5, 3), ("b", "south"): (5, 1)}
    await warehouse.check()


async def test_a_known_order_has_no_effect_under_whatever_event_it_comes_again(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    order = placed(("a", 2))
    await warehouse.reserve(order)
    assert await warehouse.reserve(placed(("a", 3), order_id=order.order_id)) == []
    assert await warehouse.reserve(placed(("a", 1)), order, order)  # and twice in one batch
    assert await warehouse.levels() == {("a", "north"): (5, 3)}
    await warehouse.check()


async def test_a_cancel_that_comes_first_bars_its_order(
    service: Service, warehouse: Warehouse, deliver: Deliver
) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    order = placed(("a", 2))
    assert await deliver(service, cancelled(order.order_id)) == [
        StockReleased(order_id=order.order_id, reason="cancelled", lines=())
    ]
    assert await deliver(service, order) == []
    assert (await warehouse.held(order.order_id)).status is Status.RELEASED
    assert await warehouse.levels() == {("a", "north"): (5, 0)}
    await warehouse.check()


async def test_a_cancel_gives_everything_back_once(service: Service, warehouse: Warehouse, deliver: Deliver) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 5), ("b", 5)])
    order = placed(("a", 2), ("b", 1))
    first = await deliver(service, order, cancelled(order.order_id))
    (released,) = (event for event in first if isinstance(event, StockReleased))
    assert [(line.item_id, line.location_id, line.quantity) for line in released.lines] == [
        ("a", "north", 2),
        ("b", "north", 1),
    ]
    assert await warehouse.cancel(order.order_id) == []
    assert await warehouse.levels() == {("a", "north"): (5, 0), ("b", "north"): (5, 0)}
    await warehouse.check()


async def test_what_is_short_waits_and_what_nobody_keeps_is_refused(warehouse: Warehouse) -> None:
    await warehouse.open("a", "gone")
    await warehouse.receive("a", 5)
    await warehouse.change("gone", status="discontinued")
    short, unknown, gone = placed(("a", 6)), placed(("a", 1), ("what", 1)), placed(("gone", 1), ("a", 1))
    both = placed(("gone", 1), ("what", 1))
    answers = {event.key: event for event in await warehouse.reserve(short, unknown, gone, both)}
    waiting = answers[str(short.order_id)]
    assert isinstance(waiting, StockBackordered) and waiting.lines[0].backordered == 6
    refusals = [answers[str(order.order_id)] for order in (unknown, gone, both)]
    assert [each.reason for each in refusals if isinstance(each, StockRejected)] == [
        "unknown_item",
        "discontinued_item",
        "unknown_item",
    ]
    assert [line.reason for line in refusals[2].lines] == ["discontinued_item", "unknown_item"]
    assert await warehouse.levels() == {("a", "north"): (5, 0)}
    assert (await warehouse.held(unknown.order_id)).status is Status.REJECTED
    await warehouse.check()


async def test_a_line_that_is_split_adds_up_beside_others(warehouse: Warehouse) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 3), ("b", 9)])
    await warehouse.receive("a", 4, "south")
    split, waiting = placed(("b", 1), ("a", 5), ("b", 2)), placed(("a", 3), ("b", 1), partial=True)
    answers = {event.key: event for event in await warehouse.reserve(split, waiting)}
    answer = answers[str(split.order_id)]
    assert isinstance(answer, StockReserved)
    assert [[(each.location_id, each.quantity) for each in line.allocations] for line in answer.lines] == [
        [("north", 1)],
        [("north", 3), ("south", 2)],
        [("north", 2)],
    ]
    rows = await warehouse.fetch(
        "SELECT position, item_id, requested, reserved, waiting FROM reservation_lines ORDER BY order_id, position"
    )
    assert [tuple(row) for row in rows] == [
        (0, "b", 1, 1, 0),
        (1, "a", 5, 5, 0),
        (2, "b", 2, 2, 0),
        (0, "a", 3, 2, 1),
        (1, "b", 1, 1, 0),
    ]
    ledger = await warehouse.fetch("SELECT line_id, location_id, reserved FROM movements WHERE kind = 'reservation'")
    assert sorted(map(tuple, ledger)) == [
        ("1", "north", 1),
        ("1", "south", 2),
        ("2", "north", 1),
        ("2", "north", 3),
        ("2", "south", 2),
        ("3", "north", 2),
    ]
    assert await warehouse.levels() == {("a", "north"): (3, 3), ("a", "south"): (4, 4), ("b", "north"): (9, 4)}
    await warehouse.check()


async def test_a_partial_order_takes_what_there_is_and_the_rest_when_it_comes(warehouse: Warehouse) -> None:
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


async def test_receipts_do_not_release_and_the_queue_serves_by_priority_then_age(warehouse: Warehouse) -> None:
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


async def test_many_units_serve_what_one_may_not(warehouse: Warehouse) -> None:
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


async def test_a_new_order_leaves_to_backorders_what_they_wait_for_and_gets_what_they_cannot_use(
    warehouse: Warehouse,
) -> None:
    await warehouse.open("a", "b")
    stuck = placed(("a", 4), ("b", 1))
    await warehouse.reserve(stuck)
    await warehouse.receive("a", 5)
    await warehouse.drain()
    small, large, urgent = placed(("a", 1)), placed(("a", 3)), placed(("a", 1), priority=6)
    events = await warehouse.reserve(small, large)
    kinds = {event.key: type(event) for event in events if not isinstance(event, StockLevelChanged)}
    assert kinds == {str(small.order_id): StockReserved, str(large.order_id): StockBackordered}
    assert isinstance((await warehouse.reserve(urgent))[0], StockReserved)
    events = await warehouse.drain()  # nothing else can use it: what waits for b holds nobody up
    assert [event.order_id for event in events if isinstance(event, StockReserved)] == [large.order_id]
    await warehouse.check()


async def test_an_old_backorder_sets_aside_what_arrives_until_it_is_enough(warehouse: Warehouse) -> None:
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


async def test_who_sets_stock_aside_and_is_cancelled_lets_others_have_it(warehouse: Warehouse) -> None:
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


async def test_an_order_for_a_discontinued_item_waits_until_it_is_active_again(warehouse: Warehouse) -> None:
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


async def test_a_cancelled_backorder_is_not_served(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    order = placed(("a", 3))
    await warehouse.reserve(order)
    await warehouse.cancel(order.order_id)
    await warehouse.receive("a", 3)
    assert await warehouse.drain() == []
    await warehouse.check()


async def test_every_event_of_an_order_carries_what_the_partner_began(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    began = uuid7()
    order = placed(("a", 3))
    await warehouse.reserve(replace(sent(order), cause=Cause(began)))
    await warehouse.receive("a", 3)
    await warehouse.drain()
    rows = await warehouse.fetch(
        "SELECT headers->>'ce_correlationid' AS correlation FROM outbox WHERE key = $1", str(order.order_id).encode()
    )
    assert [UUID(row["correlation"]) for row in rows] == [began, began]


@pytest.mark.parametrize(
    "statement", ["UPDATE movements SET on_hand = 9", "DELETE FROM movements", "TRUNCATE movements", "MERGE"]
)
async def test_the_ledger_is_never_changed(warehouse: Warehouse, statement: str) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    if statement == "MERGE":
        statement = "MERGE INTO movements USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE"
    with pytest.raises(asyncpg.RestrictViolationError):
        await warehouse.fetch(statement)
    await warehouse.check()


async def test_the_database_refuses_more_promised_than_there_is(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    for wrong in ("reserved = 4", "reserved = -1", "on_hand = -1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await warehouse.fetch(f"UPDATE levels SET {wrong}")
