"""Availability and ledger over HTTP."""

import httpx
from warehouse import Warehouse, placed


async def test_availability_lists_known_and_unknown_items(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive("a", 3)
    await warehouse.receive("a", 2, "south")
    await warehouse.reserve(placed(("a", 1)))
    page = (await client.get("/v1/availability?item_id=a&item_id=what&item_id=b")).json()
    a, what, b = page["items"]
    assert (a["available"], a["on_hand"], a["reserved"], a["problem"]) == (4, 5, 1, None)
    assert a["locations"][1] == {"location_id": "south", "on_hand": 2, "reserved": 0, "available": 2}
    assert (what["available"], what["problem"]["status"]) == (0, 404)
    assert (b["available"], b["locations"], b["status"]) == (0, [], "active")
    assert (await client.get("/v1/availability")).status_code == 422
    assert (await client.get("/v1/availability", params=[("item_id", "a")] * 201)).status_code == 422


async def test_ledger_is_filtered_and_paged(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 3), ("b", 3)])
    order = placed(("a", 1), ("b", 1))
    await warehouse.reserve(order)
    await warehouse.cancel(order.order_id)
    of_order = (await client.get("/v1/ledger", params={"reference": str(order.order_id)})).json()["items"]
    assert [(each["kind"], each["reserved"]) for each in of_order] == [
        ("release", -1),
        ("release", -1),
        ("reservation", 1),
        ("reservation", 1),
    ]
    first = (await client.get("/v1/ledger", params={"limit": 4})).json()
    rest = (await client.get("/v1/ledger", params={"limit": 4, "cursor": first["next"]})).json()
    assert [each["kind"] for each in rest["items"]] == ["receipt", "receipt"] and rest["next"] is None
    some = {"item_id": "b", "kind": "receipt", "location_id": "north", "since": "2020-01-01T00:00:00Z"}
    assert len((await client.get("/v1/ledger", params=some)).json()["items"]) == 1
    assert (await client.get("/v1/ledger", params={"until": "2020-01-01T00:00:00Z"})).json()["items"] == []
    assert (await client.get("/v1/ledger", params={"kind": "magic"})).status_code == 422
    assert (await client.get("/v1/ledger", params={"since": "2020-01-01T00:00:00"})).status_code == 422
