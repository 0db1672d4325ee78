"""Backorders and reservations over HTTP."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from warehouse import Warehouse, placed

from inventory_service.reservations import views

MANY_LINES = """
    INSERT INTO reservation_lines
        (order_id, line_id, position, item_id, requested, reserved, waiting, priority, placed_at, partial)
    SELECT gen_random_uuid(), '1', 0, 'item' || n % 50, 5, 0, 5, n % 10, now(), false
    FROM generate_series(1, 20000) AS n
"""


async def test_backorders_are_listed_by_item_and_by_order(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b", "c")
    await warehouse.receive("b", 1)
    first, urgent = placed(("a", 3), ("b", 2)), placed(("a", 1), ("c", 1), priority=8)
    partial = placed(("b", 4), partial=True)
    await warehouse.reserve(urgent, first, partial)
    page = (await client.get("/v1/backorders", params={"limit": 2})).json()
    assert [(each["item_id"], each["orders"], each["units_missing"]) for each in page["items"]] == [
        ("a", 2, 4),
        ("b", 2, 5),
    ]
    rest = (await client.get("/v1/backorders", params={"limit": 2, "cursor": page["next"]})).json()
    assert [each["item_id"] for each in rest["items"]] == ["c"] and rest["next"] is None
    only = (await client.get("/v1/backorders", params={"item_id": "b"})).json()["items"]
    assert (only[0]["available"], only[0]["orders"]) == (0, 2)

    async def lines(**only: str) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = []
        query: dict[str, str | int] = {"limit": 1, **only}
        while True:
            page = (await client.get("/v1/backorders/orders", params=query)).json()
            found += [(each["order_id"], each["item_id"], each["quantity"]) for each in page["items"]]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    page = (await client.get("/v1/backorders/orders", params={"item_id": "a", "limit": 1})).json()
    rest = (await client.get("/v1/backorders/orders", params={"item_id": "a", "cursor": page["next"]})).json()
    assert [each["order_id"] for each in page["items"] + rest["items"]] == [str(urgent.order_id), str(first.order_id)]
    assert await lines(item_id="a") == [(str(urgent.order_id), "a", 1), (str(first.order_id), "a", 3)]
    assert await lines(item_id="b") == [(str(first.order_id), "b", 2), (str(partial.order_id), "b", 3)]
    assert await lines() == [
        (str(urgent.order_id), "a", 1),
        (str(urgent.order_id), "c", 1),
        (str(first.order_id), "a", 3),
        (str(first.order_id), "b", 2),
        (str(partial.order_id), "b", 3),
    ]
    assert (await client.get("/v1/backorders/overdue")).json() == {
        "queued_items": 0,
        "orders": [],
        "complete": True,
    }
    held = (await client.get(f"/v1/reservations/{partial.order_id}")).json()
    assert held["status"] == "waiting" and held["lines"][0]["allocations"] == [{"location_id": "north", "quantity": 1}]
    missing = await client.get("/v1/reservations/00000000-0000-0000-0000-000000000000")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:crossdock:problem:no-such-reservation")


async def test_overdue_compares_only_the_first_backorders(
    warehouse: Warehouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "OVERDUE_LINES", 3)
    await warehouse.open("a", "b")
    first, second, third = (placed(("a", n), ("b", n), priority=9 - n) for n in range(1, 4))
    await warehouse.reserve(first, second, third)
    await warehouse.receive_all([("a", 1), ("b", 1)])
    overdue = (await client.get("/v1/backorders/overdue")).json()
    assert (overdue["orders"], overdue["complete"]) == ([str(first.order_id)], False)
    await warehouse.cancel(first.order_id, third.order_id)
    overdue = (await client.get("/v1/backorders/overdue")).json()
    assert (overdue["orders"], overdue["complete"]) == ([], True)


async def test_place_in_the_queue_counts_what_is_ahead(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive("a", 1)
    urgent, first, other = placed(("a", 2), priority=8), placed(("a", 4), ("b", 1)), placed(("b", 9))
    mine, later = placed(("a", 6), ("b", 2), partial=True), placed(("a", 3))
    await warehouse.reserve(urgent, first, other)
    await warehouse.reserve(mine)
    await warehouse.reserve(later)

    async def place(order_id: UUID) -> dict[str, Any]:
        found: dict[str, Any] = (await client.get(f"/v1/reservations/{order_id}/queue")).json()
        return found

    found = await place(mine.order_id)
    assert (found["status"], found["partial"], found["lines_left_out"]) == ("waiting", True, 0)
    a, b = found["lines"]
    assert (a["item_id"], a["missing"], a["orders_ahead"], a["units_ahead"]) == ("a", 6, 2, 6)
    assert (b["item_id"], b["missing"], b["orders_ahead"], b["units_ahead"]) == ("b", 2, 2, 10)
    assert (a["available"], b["available"], a["complete"], a["discontinued"]) == (1, 0, True, False)
    assert (await place(urgent.order_id))["lines"][0]["orders_ahead"] == 0

    await client.post("/v1/items/b:discontinue")
    await warehouse.cancel(urgent.order_id)
    a, b = (await place(mine.order_id))["lines"]
    assert (a["orders_ahead"], b["discontinued"]) == (1, True)
    await warehouse.cancel(mine.order_id)
    found = await place(mine.order_id)
    assert (found["status"], found["lines"]) == ("released", [])
    missing = await client.get("/v1/reservations/00000000-0000-0000-0000-000000000000/queue")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:crossdock:problem:no-such-reservation")
    assert (await client.get("/v1/reservations/mine/queue")).status_code == 422


async def test_place_of_a_large_order_is_bounded_and_read_by_indexes(
    warehouse: Warehouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "QUEUED_LINES", 2)
    monkeypatch.setattr(views, "COUNTED_LINES", 3)
    await warehouse.open("a", "b", "c")
    await warehouse.reserve(*(placed(("a", 1)) for _ in range(5)))
    mine = placed(("b", 1), ("a", 5), ("c", 2))
    await warehouse.reserve(mine)
    found = (await client.get(f"/v1/reservations/{mine.order_id}/queue")).json()
    assert [line["item_id"] for line in found["lines"]] == ["a", "c"] and found["lines_left_out"] == 1
    assert (found["lines"][0]["orders_ahead"], found["lines"][0]["complete"]) == (4, False)
    async with warehouse.database.unit() as unit:
        await unit.sql.execute(MANY_LINES)
        await unit.sql.execute("ANALYZE reservation_lines")
        statement = views.PLACES.replace(":order_id", f"'{mine.order_id}'")
        statement = statement.replace(":most", "3").replace(":shown", "2")
        plan = "\n".join(row[0] for row in await unit.sql.fetch(f"EXPLAIN {statement}"))
    assert plan.count("using reservation_lines_waiting_for on reservation_lines other") == 2, plan
    assert "Seq Scan on reservation_lines" not in plan, plan
