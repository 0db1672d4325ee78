"""Orders get stock, wait for it, or are rejected; with levels, ledger and events."""

from dataclasses import replace
from uuid import UUID

from uuid_utils.compat import uuid7
from warehouse import Warehouse, placed, sent

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver
from crossdock_events import Cause
from crossdock_events.reservations import StockBackordered, StockRejected, StockReserved
from crossdock_events.stock import StockLevelChanged
from inventory_service.reservations.model import Status


async def test_order_delivered_twice_is_reserved_once(service: Service, warehouse: Warehouse, deliver: Deliver) -> None:
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
    levels = await warehouse.settle()
    assert len(events) == 1 and (levels["a"].available, levels["b"].available) == (2, 4)
    assert levels["a"].causes == ("reservation",)
    assert await warehouse.levels() == {("a", "north"): (5, 3), ("b", "south"): (5, 1)}
    await warehouse.check()


async def test_known_order_in_another_event_is_not_reserved_again(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    order = placed(("a", 2))
    await warehouse.reserve(order)
    assert await warehouse.reserve(placed(("a", 3), order_id=order.order_id)) == []
    assert await warehouse.reserve(placed(("a", 1)), order, order)  # and twice in one batch
    assert await warehouse.levels() == {("a", "north"): (5, 3)}
    await warehouse.check()


async def test_short_order_waits_and_order_of_unknown_item_is_rejected(warehouse: Warehouse) -> None:
    await warehouse.open("a", "gone")
    await warehouse.receive("a", 5)
    await warehouse.change("gone", status="discontinued")
    short, unknown, gone = placed(("a", 6)), placed(("a", 1), ("what", 1)), placed(("gone", 1), ("a", 1))
    both = placed(("gone", 1), ("what", 1))
    answers = {event.key: event for event in await warehouse.reserve(short, unknown, gone, both)}
    waiting = answers[str(short.order_id)]
    assert isinstance(waiting, StockBackordered) and waiting.lines[0].backordered == 6
    rejected = [answers[str(order.order_id)] for order in (unknown, gone, both)]
    refusals = [each for each in rejected if isinstance(each, StockRejected)]
    assert [each.reason for each in refusals] == [
        "unknown_item",
        "discontinued_item",
        "unknown_item",
    ]
    assert [line.reason for line in refusals[2].lines] == ["discontinued_item", "unknown_item"]
    assert await warehouse.levels() == {("a", "north"): (5, 0)}
    assert (await warehouse.held(unknown.order_id)).status is Status.REJECTED
    await warehouse.check()


async def test_split_line_adds_up_beside_other_lines(warehouse: Warehouse) -> None:
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


async def test_new_order_takes_only_stock_that_backorders_cannot_use(
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


async def test_events_of_an_order_carry_its_correlation_id(warehouse: Warehouse) -> None:
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
