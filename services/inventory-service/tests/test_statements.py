"""The statements of the hot path: their number and their plans."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from warehouse import Warehouse, placed, sent

from crossdock_chassis.testing import scanned
from crossdock_events.orders import OrderPlaced
from inventory_service.reservations import store as reservations
from inventory_service.reservations.reserve import reserve
from inventory_service.stock import store as stocks

NOBODY = UUID(int=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def trips(warehouse: Warehouse, *orders: OrderPlaced) -> int:
    asked: list[str] = []
    async with warehouse.database.unit() as unit:
        with unit.sql.query_logger(lambda each: asked.append(each.query)):
            await reserve(unit, [sent(order) for order in orders])
    return len(asked)


async def test_batch_of_any_size_takes_four_round_trips(warehouse: Warehouse) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 100), ("b", 100)])
    await trips(warehouse, placed(("a", 1)))  # the driver looks up types that are new to this connection
    assert await trips(warehouse, placed(("a", 1))) == 4
    assert await trips(warehouse, *(placed(("a", 1), ("b", 2)) for _ in range(20))) == 4
    assert await trips(warehouse, placed(("a", 1000))) == 5  # and one to mark it as waiting
    assert await trips(warehouse, placed(("a", 1), priority=6)) == 5  # and one for the demand of backorders
    assert await trips(warehouse, placed(("b", 1))) == 4
    await warehouse.check()


@pytest.mark.parametrize(
    "statement",
    [
        stocks.LOCK,
        stocks.READ,
        stocks.MOVE_LEVELS,
        stocks.CHANGED,
        stocks.LOCK_CHANGED,
        stocks.SETTLE,
        stocks.FORGET,
        reservations.LOCK,
        reservations.ITEMS,
        reservations.LOCK_HOLDING,
        reservations.HOLDERS,
        reservations.HELD,
        reservations.WITHDRAW,
        reservations.LINES,
        reservations.DECIDE,
        reservations.UPDATE_LINES,
        reservations.LET_GO,
        reservations.CLOSE_LINES,
        reservations.AHEAD,
    ],
)
async def test_plan_made_on_empty_tables_uses_indexes(warehouse: Warehouse, statement: str) -> None:
    """A connection may keep its plan until the next ANALYZE, while millions of rows are inserted."""
    values = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    async with warehouse.database.unit() as unit:
        await unit.sql.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await unit.sql.execute(f"PREPARE made_early AS {statement}")
        plan = [row[0] for row in await unit.sql.fetch(f"EXPLAIN (COSTS OFF) EXECUTE made_early({values})")]
        await unit.sql.execute("DEALLOCATE made_early")
    assert any("Index" in line for line in plan)
    assert not any(re.search("Seq Scan on (?!locations)", line) for line in plan), plan  # locations are few


async def test_functions_planned_on_empty_tables_use_indexes(warehouse: Warehouse) -> None:
    order = [NOBODY]
    part = [1], ["1"], ["a"], [0], [1], [1], ["north"], [1]
    hold = order, order, [5], [False], *part, ["a"], [False], ["reservation"], [""], NOW, [NOW], [False]
    calls: dict[str, Sequence[object]] = {
        "reservations_look": [["a"]],
        "stock_mark": [["a"], [False], ["reservation"], [""]],
        "reservations_hold": hold,
        "reservations_hold_more": hold,
        "reservations_reserve": [*hold, ["open"], [1], order, [], [], []],
    }
    for function, arguments in calls.items():
        found = await scanned(warehouse.database, function, *arguments)
        assert set(found) <= {"locations"}, function  # locations are few
