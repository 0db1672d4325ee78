"""Locations over HTTP."""

from typing import Any

import httpx
from warehouse import Warehouse, listed


async def test_location_is_registered_once_and_changed_by_version(client: httpx.AsyncClient) -> None:
    body = {"location_id": "north", "rank": 1, "name": "North", "country": "US"}
    assert (await client.post("/v1/locations", json=body)).status_code == 201
    assert (await client.post("/v1/locations", json=body)).status_code == 200
    assert (await client.post("/v1/locations", json={**body, "rank": 2})).status_code == 409
    changed = await client.patch("/v1/locations/north", json={"rank": 7}, headers={"If-Match": '"1"'})
    assert (changed.json()["rank"], changed.json()["version"]) == (7, 2)
    assert (await client.get("/v1/locations/north")).json() == changed.json()
    assert (await client.patch("/v1/locations/south", json={"rank": 7})).status_code == 404


async def test_location_list_continues_at_the_cursor(client: httpx.AsyncClient) -> None:
    for n in range(5):
        await client.post("/v1/locations", json={"location_id": f"l{n}", "name": "L", "rank": 9 - n})
    assert [each["location_id"] for each in await listed(client, "locations")] == [f"l{n}" for n in reversed(range(5))]


INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("locations", {"location_id": "x"}, "/name"),
    ("locations", {"location_id": "東" * 22, "name": "n"}, "/location_id"),
    ("locations", {"location_id": '"' * 33, "name": "n"}, "/location_id"),
    ("locations", {"location_id": "x", "name": "n", "rank": -1}, "/rank"),
    ("locations", {"location_id": "x", "name": "n", "country": "usa"}, "/country"),
]


async def test_invalid_location_is_refused_and_stores_nothing(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.refuses(client, INVALID)
