"""What the hot path asks of the database: how often, and by which plan."""

import random
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from warehouse import Warehouse, placed, sent

from crossdock_events.orders import OrderPlaced
from inventory_service.reservations import store as reservations
from inventory_service.reservations.model import Demand, sort_key
from inventory_service.reservations.reserve import reserve
from inventory_service.stock import store as stocks


async def trips(warehouse: Warehouse, *orders: OrderPlaced) -> int:
    asked: list[str] = []
    async with warehouse.database.unit() as unit:
        with unit.sql.query_logger(lambda each: asked.append(each.query)):
            await reserve(unit, [sent(order) for order in orders])
    return len(asked)


async def test_a_batch_asks_four_times_however_many_orders_it_has(warehouse: Warehouse) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 100), ("b", 100)])
    await trips(warehouse, placed(("a", 1)))  # the driver asks for types that this connection has not met
    assert await trips(warehouse, placed(("a", 1))) == 4
    assert await trips(warehouse, *(placed(("a", 1), ("b", 2)) for _ in range(20))) == 4
    assert await trips(warehouse, placed(("a", 1000))) == 5  # and says that it waits
    assert await trips(warehouse, placed(("a", 1), priority=6)) == 5  # and asks how many wait before it
    assert await trips(warehouse, placed(("b", 1))) == 4
    await warehouse.check()


@pytest.mark.parametrize(
    "statement",
    [
        stocks.LOCK,
        stocks.READ,
        stocks.MOVE_LEVELS,
        stocks.COUNT_HEADS,
        reservations.LOCK,
        reservations.ITEMS,
        reservations.LOOK,
        reservations.AHEAD,
        reservations.HOLD_NEW,
        reservations.HOLD_MORE,
    ],
)
async def test_a_plan_made_while_the_tables_are_empty_goes_by_their_keys(warehouse: Warehouse, statement: str) -> None:
    """A connection may keep its plan until the tables are looked at again, and millions of rows come in meanwhile."""
    values = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    async with warehouse.database.unit() as unit:
        await unit.sql.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await unit.sql.execute(f"PREPARE made_early AS {statement}")
        plan = [row[0] for row in await unit.sql.fetch(f"EXPLAIN (COSTS OFF) EXECUTE made_early({values})")]
        await unit.sql.execute("DEALLOCATE made_early")
    assert any("Index" in line for line in plan)
    assert not any(re.search("Seq Scan on (?!locations)", line) for line in plan), plan  # of those there are few


async def test_sql_serves_backorders_in_the_order_of_allocate(warehouse: Warehouse) -> None:
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
