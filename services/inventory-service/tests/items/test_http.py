"""Items over HTTP."""

from typing import Any

import httpx
from warehouse import Warehouse, listed

from crossdock_chassis import Service
from crossdock_chassis.testing import published
from crossdock_events.items import ItemChanged, ItemRegistered


async def test_item_is_registered_changed_and_discontinued(service: Service, client: httpx.AsyncClient) -> None:
    body = {
        "item_id": "SKU-1",
        "unit_of_measure": "g",
        "units": {"kg": 1000},
        "category": "FISH",
        "description": "Cod, whole",
    }
    made = await client.post("/v1/items", json=body)
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, "/v1/items/SKU-1", '"1"')
    assert made.json() == {**body, "status": "active", "version": 1}
    assert (await client.post("/v1/items", json=body)).status_code == 200
    other = await client.post("/v1/items", json={**body, "category": "MEAT"})
    assert (other.status_code, other.json()["type"]) == (409, "urn:crossdock:problem:duplicate-item")
    assert other.headers["location"] == "/v1/items/SKU-1"

    changed = await client.patch("/v1/items/SKU-1", json={"category": None}, headers={"If-Match": '"1"'})
    assert changed.json()["category"] is None and changed.headers["etag"] == '"2"'
    stale = await client.patch("/v1/items/SKU-1", json={"category": "MEAT"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await client.patch("/v1/items/SKU-1", json={})).json()["version"] == 2
    gone = await client.post("/v1/items/SKU-1:discontinue")
    assert (gone.json()["status"], gone.json()["version"]) == ("discontinued", 3)
    back = await client.patch("/v1/items/SKU-1", json={"status": "active"})
    assert (await client.get("/v1/items/SKU-1")).json() == back.json()

    rows = [row for row in await published(service) if row["topic"] == "crossdock.items.v1"]
    assert len(rows) == 4 and not any(b"Cod" in row["value"] for row in rows)
    assert ItemRegistered.model_validate_json(rows[0]["value"]).category == "FISH"
    assert ItemChanged.model_validate_json(rows[2]["value"]).status == "discontinued"


async def test_item_list_continues_at_the_cursor(client: httpx.AsyncClient) -> None:
    for n in range(5):
        await client.post("/v1/items", json={"item_id": f"i{n}", "category": "odd" if n % 2 else None})
    assert [each["item_id"] for each in await listed(client, "items")] == [f"i{n}" for n in range(5)]
    odd = (await client.get("/v1/items", params={"category": "odd"})).json()["items"]
    assert [each["item_id"] for each in odd] == ["i1", "i3"]
    assert (await client.get("/v1/items", params={"cursor": "nonsense"})).status_code == 400
    assert (await client.get("/v1/items", params={"limit": 0})).status_code == 422


INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("items", {"item_id": ""}, "/item_id"),
    ("items", {"item_id": " a"}, "/item_id"),
    ("items", {"item_id": "cafe\u0301"}, "/item_id"),
    ("items", {"item_id": "a\u200bb"}, "/item_id"),
    ("items", {"item_id": "x" * 65}, "/item_id"),
    ("items", {"item_id": 7}, "/item_id"),
    ("items", {"item_id": "x", "colour": "red"}, "/colour"),
    ("items", {"item_id": "x", "unit_of_measure": "Each!"}, "/unit_of_measure"),
    ("items", {"item_id": "x", "unit_of_measure": "kg"}, "/unit_of_measure"),
    ("items", {"item_id": "x", "units": {"case": 0}}, "/units/case"),
    ("items", {"item_id": "x", "units": {"case": 2.5}}, "/units/case"),
    ("items", {"item_id": "x", "units": {"each": 1}}, "/units/each"),
    ("items", {"item_id": "x", "units": {f"u{n}": 2 for n in range(21)}}, "/units"),
    ("items", {"item_id": "x", "description": "two\nlines"}, "/description"),
    ("items", {"item_id": "x", "description": "nul\0"}, "/description"),
]


async def test_invalid_item_is_refused_and_stores_nothing(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.refuses(client, INVALID)
