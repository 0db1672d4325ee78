"""Adjustments."""

import httpx
from warehouse import Warehouse, line, placed


async def test_adjustment_leaves_reserved_stock(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 10)
    await warehouse.reserve(placed(("a", 6)))
    body = {"reference": "ADJ-1", "location_id": "north", "reason": "damage", "lines": [line("a", -5)]}
    refused = await client.post("/v1/adjustments", json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:not-enough-free")
    assert refused.json()["short"] == [{"item_id": "a", "location_id": "north", "requested": 5, "free": 4}]
    body["lines"] = [line("a", -4)]
    assert (await client.post("/v1/adjustments", json=body)).status_code == 201
    newest = (await client.get("/v1/ledger", params={"item_id": "a"})).json()["items"][0]
    assert (newest["on_hand"], newest["reserved"], newest["reason"]) == (-4, 0, "damage")
    assert await warehouse.levels() == {("a", "north"): (6, 6)}
    await warehouse.check()
