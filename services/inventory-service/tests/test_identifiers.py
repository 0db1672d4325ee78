"""Identifiers of real catalogues, through every route and import that takes one."""

import csv
import io
from unicodedata import normalize

import httpx
import pytest
from warehouse import Warehouse, line, listed, receipt

from crossdock_chassis import segment

REAL = [
    "a/b",
    "PO 4711",
    "#1001",
    "a|b",
    "a&b=c",
    "商品",
    "%2F",
    "..",
    "../x",
    "a:discontinue",
    "?x",
    'say "a", b',
]


async def test_item_with_any_identifier_is_found_at_its_location(client: httpx.AsyncClient) -> None:
    for item in REAL:
        made = await client.post("/v1/items", json={"item_id": item})
        path = made.headers["location"]
        assert (made.status_code, path) == (201, f"/v1/items/{segment(item)}")
        assert (await client.get(path)).json()["item_id"] == item
        other = await client.post("/v1/items", json={"item_id": item, "category": "FISH"})
        assert (other.status_code, other.headers["location"]) == (409, path)
        assert (await client.patch(path, json={"category": "FISH"})).json()["category"] == "FISH"
        key = {"Idempotency-Key": path}
        gone = await client.post(f"{path}:discontinue", headers=key)
        assert (gone.json()["item_id"], gone.json()["status"]) == (item, "discontinued"), gone.text
        again = await client.post(f"{path}:discontinue", headers=key)
        assert again.headers["idempotent-replayed"] == "true"
    assert sorted(each["item_id"] for each in await listed(client, "items")) == sorted(REAL)


async def test_location_with_any_identifier_is_found_at_its_path(client: httpx.AsyncClient) -> None:
    for location in REAL:
        made = await client.post("/v1/locations", json={"location_id": location, "name": "one"})
        path = made.headers["location"]
        assert (await client.get(path)).json()["location_id"] == location
        other = await client.post("/v1/locations", json={"location_id": location, "name": "two"})
        assert (other.status_code, other.headers["location"]) == (409, path)
        assert (await client.patch(path, json={"name": "two"})).json()["location_id"] == location
    assert sorted(each["location_id"] for each in await listed(client, "locations")) == sorted(REAL)


async def test_stock_is_moved_and_shown_under_any_identifier(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open(*REAL, locations=REAL)
    for i, name in enumerate(REAL):
        body = receipt(line(name, 5), reference=name, location_id=name)
        made = await client.post("/v1/receipts", json=body)
        assert (await client.get(made.headers["location"])).json()["reference"] == name
        moved = {"reference": name, "from_location_id": name, "to_location_id": REAL[i - 1], "lines": [line(name, 1)]}
        assert (await client.post("/v1/transfers", json=moved)).status_code == 201
        adjusted = {"reference": name, "location_id": name, "reason": "count", "lines": [line(name, -1)]}
        assert (await client.post("/v1/adjustments", json=adjusted)).status_code == 201
        [shown] = (await client.get("/v1/availability", params={"item_id": name})).json()["items"]
        assert (shown["item_id"], shown["on_hand"]) == (name, 4)
        for query in ({"item_id": name}, {"reference": name}):
            found = (await client.get("/v1/ledger", params=query)).json()["items"]
            assert [each["on_hand"] for each in found] == [-1, 1, -1, 5]
        found = (await client.get("/v1/ledger", params={"location_id": name, "item_id": name})).json()["items"]
        assert [each["on_hand"] for each in found] == [-1, -1, 5]


async def test_csv_takes_any_identifier_and_trims_its_cells(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    files = {
        "items": ("item_id", [[f" {name} "] for name in REAL]),
        "locations": ("location_id,name", [[name, "one"] for name in REAL]),
        "opening-stock": ("reference,location_id,item_id,quantity", [[name, name, name, "7"] for name in REAL]),
    }
    for kind, (header, rows) in files.items():
        text = io.StringIO(f"{header}\n")
        text.seek(0, io.SEEK_END)
        csv.writer(text).writerows(rows)
        assert await warehouse.counts(client, kind, text.getvalue()) == (len(REAL), 0, 0)
    assert await warehouse.levels() == {(name, name): (7, 0) for name in REAL}


@pytest.mark.parametrize("item", ["a\u200bb", normalize("NFD", "é")])
async def test_csv_refuses_an_identifier_that_looks_like_another(
    item: str, warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    refused = await warehouse.imported(client, "items", f"item_id\n{item}\n")
    [error] = refused["errors"]
    assert (error["row"], error["column"]) == (2, "item_id") and "printable characters" in error["detail"]
