"""Backorders and reservations over HTTP."""

import httpx
import pytest
from warehouse import Warehouse, placed

from inventory_service.reservations import views


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
