"""Levels, ledger and reservations compared, page by page."""

import httpx
import pytest
from warehouse import Warehouse, listed, placed

from inventory_service.stock import reconciliation
from inventory_service.stock.reconciliation import fold_ledger


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "SETTLED_SECONDS", 0)


async def mark(warehouse: Warehouse) -> int:
    """Fold the next movements, and return the mark."""
    async with warehouse.database.unit() as unit:
        await fold_ledger(unit)
        return int(await unit.sql.fetchval("SELECT folded_to FROM ledger_mark"))


async def test_reconciliation_lists_every_difference(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b", "c")
    await warehouse.receive_all([("a", 3), ("b", 3), ("c", 1)])
    order, other = placed(("b", 2)), placed(("c", 1))
    await warehouse.reserve(order, other)
    for _ in range(2):  # the second time from folded sums and without later movements
        agrees = (await client.get("/v1/reconciliation")).json()
        assert (agrees["outcome"], agrees["compared"], agrees["items"]) == ("agrees", 3, [])
        orders = (await client.get("/v1/reconciliation/orders")).json()
        assert (orders["outcome"], orders["compared"], orders["items"]) == ("agrees", 2, [])
        await mark(warehouse)
    await warehouse.fetch("UPDATE levels SET on_hand = 4 WHERE item_id = 'a'")
    await warehouse.fetch("UPDATE allocations SET quantity = 1 WHERE item_id = 'b'")
    a, b = await listed(client, "reconciliation", limit=1)
    assert (a["item_id"], a["level_on_hand"], a["ledger_on_hand"]) == ("a", 4, 3)
    assert (b["item_id"], b["level_reserved"], b["ledger_reserved"], b["held"]) == ("b", 2, 2, 1)
    (line,) = await listed(client, "reconciliation/orders", limit=1)
    assert (line["order_id"], line["reserved"], line["held"]) == (str(order.order_id), 2, 1)
    assert (await client.get("/v1/reconciliation")).json()["outcome"] == "differs"


async def test_folded_ledger_counts_each_movement_once(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "FOLD_AT_ONCE", 2)
    await warehouse.open("a")
    for _ in range(3):
        await warehouse.receive("a", 5)
    marks = [await mark(warehouse) for _ in range(3)]
    assert marks[0] < marks[1] == marks[2]
    (folded,) = await warehouse.fetch("SELECT on_hand, reserved FROM ledger_sums")
    assert tuple(folded) == (15, 0)
    await warehouse.adjusts(("a", -4))
    await warehouse.check()
    assert await mark(warehouse) > marks[2]
    await warehouse.check()


async def test_movement_that_another_may_still_precede_is_not_folded(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "SETTLED_SECONDS", 30)
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    assert await mark(warehouse) == 0
    await warehouse.check()


async def test_page_reads_only_the_movements_after_the_mark(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 1)
    await warehouse.fetch(
        "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at) "
        "SELECT 'a', 'north', CASE WHEN n % 2 = 0 THEN 1 ELSE -1 END, 0, 'receipt', 'r', gen_random_uuid(), now() "
        "FROM generate_series(1, 20000) AS n"
    )
    await mark(warehouse)
    await warehouse.fetch("ANALYZE")
    query = reconciliation.DIFFERENCES.replace(":after", "NULL").replace(":limit", "100")
    plan = [row[0] for row in await warehouse.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}")]
    (read,) = (line for line in plan if "on movements" in line)
    assert "rows=0" in read, plan
    await warehouse.check()
