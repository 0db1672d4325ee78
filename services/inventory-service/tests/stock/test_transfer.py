"""Transfers."""

import httpx
from warehouse import Warehouse, line, placed


async def test_transfer_moves_only_free_stock(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 10)
    await warehouse.reserve(placed(("a", 6)))
    body = {"reference": "T-1", "from_location_id": "north", "to_location_id": "south", "lines": [line("a", 5)]}
    refused = await client.post("/v1/transfers", json=body)
    assert (refused.status_code, refused.json()["short"][0]["free"]) == (409, 4)
    body["lines"] = [line("a", 4)]
    assert (await client.post("/v1/transfers", json=body)).status_code == 201
    assert await warehouse.levels() == {("a", "north"): (6, 6), ("a", "south"): (4, 0)}
    same = await client.post("/v1/transfers", json={**body, "to_location_id": "north"})
    assert same.status_code == 422
    await warehouse.check()
