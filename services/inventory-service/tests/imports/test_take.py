"""Files of items, locations and opening stock: a file with an error changes nothing, nor does a second time."""

import httpx
from warehouse import Warehouse

from crossdock_chassis.testing import published

ITEMS = 'item_id,description,unit_of_measure,category\nA,First,each,X\nB,"Second, with a comma",g,\n'
LOCATIONS = "location_id,name,rank\nnorth,North,1\nsouth,South,2\n"
STOCK = "reference,location_id,item_id,quantity\nopen-1,north,A,5\nopen-1,south,A,3\nopen-1,north,B,0\n"


async def test_import_again_changes_nothing(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    for kind, text, created in (("items", ITEMS, 2), ("locations", LOCATIONS, 2), ("opening-stock", STOCK, 3)):
        assert await warehouse.counts(client, kind, text, dry_run=True) == (created, 0, 0)
        assert await warehouse.counts(client, kind, text) == (created, 0, 0)
        assert await warehouse.counts(client, kind, text) == (0, 0, created)
    assert await warehouse.levels() == {("A", "north"): (5, 0), ("A", "south"): (3, 0)}
    assert (await client.get("/v1/items/B")).json()["description"] == "Second, with a comma"
    await warehouse.check()


async def test_dry_run_stores_nothing_and_reports_every_error(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    tried = await warehouse.imported(client, "items", ITEMS, dry_run=True)
    assert (tried["state"], tried["dry_run"], tried["done"], tried["created"]) == ("done", True, 0, 2)
    assert await published(warehouse.service) == [] and (await client.get("/v1/items")).json()["items"] == []
    refused = await warehouse.imported(client, "opening-stock", STOCK, dry_run=True)
    assert (refused["state"], refused["wrong"]) == ("refused", 3)


async def test_import_changes_only_the_columns_it_has(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.imported(client, "items", ITEMS)
    assert await warehouse.counts(client, "items", "item_id,status\nB,discontinued\nC,\n") == (1, 1, 0)
    b = (await client.get("/v1/items/B")).json()
    assert (b["status"], b["unit_of_measure"], b["description"]) == ("discontinued", "g", "Second, with a comma")
    await warehouse.imported(client, "locations", LOCATIONS)
    assert await warehouse.counts(client, "locations", "location_id,name,country\nnorth,North,US\nsouth,South,\n") == (
        0,
        1,
        1,
    )
    assert (await client.get("/v1/locations/north")).json()["rank"] == 1


async def test_five_thousand_rows_are_imported_once(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open()
    items = "item_id,description\n" + "".join(f"i{n},Item {n}\n" for n in range(5_000))
    stock = "location_id,item_id,quantity\n" + "".join(f"north,i{n},{n + 1}\n" for n in range(5_000))
    assert await warehouse.counts(client, "items", items) == (5_000, 0, 0)
    assert await warehouse.counts(client, "opening-stock", stock) == (5_000, 0, 0)
    assert await warehouse.counts(client, "opening-stock", stock) == (0, 0, 5_000)
    await warehouse.check()
