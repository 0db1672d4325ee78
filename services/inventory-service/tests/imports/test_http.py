"""Imports over HTTP: wrong rows, limits, templates, idempotency keys, waiting."""

import asyncio

import httpx
from warehouse import Warehouse, send

from crossdock_chassis.imports.csv_format import LONGEST_RECORD
from crossdock_chassis.testing import Clients, Fresh, published, run_queued
from inventory_service.service import Settings, build

ITEMS = 'item_id,description,unit_of_measure,category\nA,First,each,X\nB,"Second, with a comma",g,\n'


WRONG: list[tuple[str, str | bytes, tuple[int, str | None]]] = [
    ("items", "", (1, None)),
    ("items", "\n\n", (1, "item_id")),
    ("items", "sku\nA\n", (1, "sku")),
    ("items", "item_id,item_id\nA,A\n", (1, "item_id")),
    ("items", "item_id\nA\nA\n", (3, "item_id")),
    ("items", "item_id,category\nA\n", (2, None)),
    ("items", "item_id,category\nA,b,c\n", (2, None)),
    ("items", "item_id\na\u200bb\n", (2, "item_id")),
    ("items", "item_id,status\nA,gone\n", (2, "status")),
    ("items", "item_id,description\nA,ok\n,no id\n", (3, "item_id")),
    ("items", "item_id,units\nA,each=2\nB,\n", (2, "units")),
    ("items", "item_id,n\0\nA,each=2\nB,\n", (1, "n\\x00")),
    ("items", 'item_id\n"A\n', (2, None)),
    ("items", 'item_id\n"A"b\n', (2, None)),
    ("items", b"item_id\n\xff\n", (2, None)),
    ("items", 'item_id,description\nA,"' + "x" * (LONGEST_RECORD + 1), (2, None)),
    ("items", "item_id,description\nA," + "x" * 501, (2, "description")),
    ("items", "item_id\nA\0\n", (2, "item_id")),
    ("locations", "location_id\nnorth\n", (1, "name")),
    ("locations", "location_id,name,rank\nnorth,N,-1\n", (2, "rank")),
    ("locations", "location_id,name,country\nnorth,N,usa\n", (2, "country")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,1.5\n", (2, "quantity")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,-1\n", (2, "quantity")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,NaN\n", (2, "quantity")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,\uff19\n", (2, "quantity")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,99999999999999999999\n", (2, "quantity")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,\n", (2, "quantity")),
    ("opening-stock", "item_id,location_id,quantity\nwhat,north,1\n", (2, "item_id")),
    ("opening-stock", "item_id,location_id,quantity\nA,north,1\nA,nowhere,1\n", (3, "location_id")),
]


async def test_wrong_row_is_named_and_nothing_is_imported(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("A")
    before = len(await published(warehouse.service))
    for kind, text, expected in WRONG:
        refused = await warehouse.imported(client, kind, text)
        assert refused["state"] == "refused" and refused["done"] == refused["created"] == 0, text
        errors = [(error["row"], error["column"]) for error in refused["errors"]]
        assert expected in errors, (text, refused)
    assert len(await published(warehouse.service)) == before and not await warehouse.levels()


async def test_oversized_or_non_csv_import_is_refused(fresh: Fresh, clients: Clients) -> None:
    service = await fresh(build, Settings, import_max_bytes=1024)
    client = clients(service, scopes=("stock:read", "stock:write"))
    assert (await send(client, "items", "item_id\n" + "x" * 2000)).status_code == 413
    assert (await client.post("/v1/items:import", json={})).status_code == 415
    assert (await send(client, "customers", ITEMS)).status_code == 404
    assert (await send(client, "items", ITEMS, reference="x")).status_code == 422
    assert (await send(client, "opening-stock", ITEMS, reference=" blank first")).status_code == 422
    reader = clients(service, scopes=("stock:read",))
    assert (await send(reader, "items", ITEMS)).status_code == 403
    assert await run_queued(service) == [] and await published(service) == []


async def test_template_can_be_imported(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    for kind in ("items", "locations", "opening-stock"):
        template = await client.get(f"/v1/{kind}:template")
        assert template.headers["content-type"].startswith("text/csv")
        assert await warehouse.counts(client, kind, template.text) == (1, 0, 0)


async def test_import_under_an_idempotency_key_is_replayed(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    headers = {"content-type": "text/csv", "idempotency-key": "k"}
    first = await client.post("/v1/items:import", content=ITEMS, headers=headers)
    await run_queued(warehouse.service)
    again = await client.post("/v1/items:import", content=ITEMS, headers=headers)
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "done")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert (await client.post("/v1/items:import", content=ITEMS + "D,,,\n", headers=headers)).status_code == 422
    dry = {"dry_run": True}
    assert (await client.post("/v1/items:import", content=ITEMS, headers=headers, params=dry)).status_code == 422
    assert await warehouse.fetch("SELECT FROM import_piece JOIN import_file ON id <> import_id") == []


async def test_import_that_ends_while_its_client_waits_is_200(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    headers = {"content-type": "text/csv", "prefer": "wait=10"}
    waiting = asyncio.create_task(client.post("/v1/items:import", content=ITEMS, headers=headers))
    while not waiting.done():
        await run_queued(warehouse.service)
        await asyncio.sleep(0.01)
    answer = await waiting
    assert (answer.status_code, answer.json()["state"], answer.json()["created"]) == (200, "done", 2)
