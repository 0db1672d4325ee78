"""Pages of long lists read few rows, also far behind the first page."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from warehouse import Warehouse

from crossdock_chassis import Page
from inventory_service.items import views as items
from inventory_service.items.model import Status
from inventory_service.reservations import views
from inventory_service.reservations.model import Turn

ITEMS = """
    INSERT INTO items (item_id, unit_of_measure, category, status, sequence, registered_at, changed_at)
    SELECT to_char(n, 'FM00000'), 'each', 'C' || n / 5000,
           CASE WHEN n % 2 = 0 OR n < 9000 THEN 'active' ELSE 'discontinued' END, 1, now(), now()
    FROM generate_series(0, 19999) AS n
"""

ORDERS = """
    WITH numbered AS (SELECT n, uuidv7() AS order_id FROM generate_series(1, 20000) AS n), placed AS (
        INSERT INTO reservations (order_id, status, sequence, priority, partial, placed_at, correlation_id, changed_at)
        SELECT order_id, CASE WHEN n % 4 = 0 THEN 'open' ELSE 'waiting' END, 1, 5, false,
               now() - make_interval(secs => 20000 - n), order_id, now()
        FROM numbered
    )
    INSERT INTO reservation_lines
        (order_id, line_id, position, item_id, requested, reserved, waiting, priority, placed_at, partial)
    SELECT order_id, line::text, line, CASE line WHEN 1 THEN '00000' ELSE to_char(n, 'FM00000') END, 2,
           CASE WHEN n % 4 = 0 THEN 2 ELSE 0 END, CASE WHEN n % 4 = 0 THEN 0 ELSE 2 END, 5,
           now() - make_interval(secs => 20000 - n), false
    FROM numbered CROSS JOIN generate_series(1, 2) AS line
"""


@pytest.fixture
async def long(warehouse: Warehouse) -> Warehouse:
    """Return a warehouse with 20,000 items, and 15,000 orders of two lines that wait; one item is in all of them."""
    async with warehouse.database.unit() as unit:
        for statement in (ITEMS, "INSERT INTO stock_heads SELECT item_id FROM items", ORDERS):
            await unit.sql.execute(statement)
        await unit.sql.execute("ANALYZE items, reservations, reservation_lines")
    return warehouse


async def rows_read(warehouse: Warehouse, page: Callable[[AsyncSession], Awaitable[Page[Any]]]) -> tuple[int, int]:
    """Return how many entries a page has, and how many rows and index entries its statements read."""
    asked: list[tuple[str, Any]] = []
    async with warehouse.database.reading() as session:
        connection = await session.connection()
        event.listen(
            connection.sync_connection, "before_cursor_execute", lambda *each: asked.append((each[2], each[3]))
        )
        found = len((await page(session)).items)
        plans = [
            (await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)).scalar_one()
            for statement, values in tuple(asked)
        ]
    return found, sum(int(read) for plan in plans for read in scanned(plan[0]["Plan"]))


def scanned(node: Mapping[str, Any]) -> Iterator[float]:
    if "Relation Name" in node:
        yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for child in node.get("Plans", ()):
        yield from scanned(child)


async def test_page_of_items_reads_few_rows(long: Warehouse) -> None:
    cases: list[tuple[Status | None, str | None, str | None]] = [
        ("discontinued", None, None),
        ("discontinued", None, "19000"),
        ("active", None, "15000"),
        (None, "C3", "19000"),
        ("discontinued", "C1", None),
    ]
    for status, category, after in cases:
        found, read = await rows_read(
            long, partial(items.page, status=status, category=category, after=after, limit=100)
        )
        assert found == 100 and read <= 300, (status, category, after)


async def test_page_of_backordered_lines_reads_few_rows(long: Warehouse) -> None:
    waiting = "SELECT * FROM reservations WHERE status = 'waiting' ORDER BY order_id OFFSET 9000 LIMIT 1"
    [middle] = await long.fetch(waiting)
    for item in (None, "00000"):
        for after in (None, (Turn(-5, middle["placed_at"], middle["order_id"]), 1)):
            found, read = await rows_read(long, partial(views.by_order, item=item, after=after, limit=100))
            assert found == 100 and read <= 400, (item, after)


async def test_page_of_items_with_backorders_reads_few_rows(long: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "COUNTED_LINES", 1_000)
    for after in (None, "15000"):
        found, read = await rows_read(long, partial(views.by_item, item=None, after=after, limit=100))
        assert found == 100 and read <= 1_000 + 400, after
    async with long.database.reading() as session:
        first, second = (await views.by_item(session, None, None, 2)).items
        [only] = (await views.by_item(session, "00000", None, 2)).items
    assert (first.item_id, first.orders, first.units_missing, first.complete) == ("00000", 1_000, 2_000, False)
    assert (second.item_id, second.orders, second.units_missing, second.complete) == ("00001", 1, 2, True)
    assert only == first
