"""Files: all of it or nothing, and a second time changes nothing."""

import asyncio
import csv
import io
import time
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warehouse import Warehouse, placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Fresh, published
from inventory_service.imports.model import ImportRefused, Sheet
from inventory_service.imports.read import LONGEST_RECORD, read
from inventory_service.reservations.model import Status
from inventory_service.service import Settings, build

ITEMS = 'item_id,description,unit_of_measure,category\nA,First,each,X\nB,"Second, with a comma",kg,\n'
LOCATIONS = "location_id,name,rank\nnorth,North,1\nsouth,South,2\n"
STOCK = "reference,location_id,item_id,quantity\nopen-1,north,A,5\nopen-1,south,A,3\nopen-1,north,B,0\n"


@pytest.fixture
def client(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, scopes=("stock:read", "stock:write"))


async def send(client: httpx.AsyncClient, kind: str, text: str | bytes, **query: Any) -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return await client.post(f"/v1/imports/{kind}", content=content, params=query, headers={"content-type": "text/csv"})


async def counts(client: httpx.AsyncClient, kind: str, text: str, **query: Any) -> tuple[int, int, int]:
    answer = await send(client, kind, text, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["created"], answer.json()["changed"], answer.json()["unchanged"]


async def test_items_locations_and_stock_are_taken_once(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    for kind, text, created in (("items", ITEMS, 2), ("locations", LOCATIONS, 2), ("opening-stock", STOCK, 3)):
        assert await counts(client, kind, text, dry_run=True) == (created, 0, 0)
        assert await counts(client, kind, text) == (created, 0, 0)
        assert await counts(client, kind, text) == (0, 0, created)
    assert await warehouse.levels() == {("A", "north"): (5, 0), ("A", "south"): (3, 0)}
    assert (await client.get("/v1/items/B")).json()["description"] == "Second, with a comma"
    await warehouse.check()


async def test_a_dry_run_keeps_nothing_and_finds_everything(service: Service, client: httpx.AsyncClient) -> None:
    assert (await send(client, "items", ITEMS, dry_run=True)).json()["dry_run"] is True
    assert await published(service) == [] and (await client.get("/v1/items")).json()["items"] == []
    refused = await send(client, "opening-stock", STOCK, dry_run=True)
    assert refused.status_code == 422 and refused.json()["wrong"] == 6


async def test_a_file_changes_what_it_says_and_leaves_the_rest(client: httpx.AsyncClient) -> None:
    await send(client, "items", ITEMS)
    assert await counts(client, "items", "item_id,status\nB,discontinued\nC,\n") == (1, 1, 0)
    b = (await client.get("/v1/items/B")).json()
    assert (b["status"], b["unit_of_measure"], b["description"]) == ("discontinued", "kg", "Second, with a comma")
    await send(client, "locations", LOCATIONS)
    assert await counts(client, "locations", "location_id,name,country\nnorth,North,US\nsouth,South,\n") == (0, 1, 1)
    assert (await client.get("/v1/locations/north")).json()["rank"] == 1


async def test_the_same_reference_with_another_quantity_is_refused(
    warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    await warehouse.open("A", "B")
    await send(client, "opening-stock", STOCK)
    other = await send(client, "opening-stock", STOCK.replace(",5\n", ",6\n"))
    assert other.json()["errors"] == [
        {"row": 2, "column": "quantity", "detail": "open-1 counted 5 before: adjust it, or use another reference"}
    ]
    assert (await warehouse.levels())["A", "north"] == (5, 0)
    without = "location_id,item_id,quantity\nnorth,A,2\n"
    assert await counts(client, "opening-stock", without, reference="second") == (1, 0, 0)
    assert await counts(client, "opening-stock", without, reference="second") == (0, 0, 1)
    assert await counts(client, "opening-stock", without) == (1, 0, 0)
    assert (await warehouse.levels())["A", "north"] == (9, 0)
    await warehouse.check()


async def test_backorders_are_served_from_what_is_counted_in(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("A", "B")
    order = placed(("A", 8))
    await warehouse.reserve(order)
    await send(client, "opening-stock", STOCK)
    await warehouse.drain()
    assert (await warehouse.held(order.order_id)).status is Status.OPEN
    await warehouse.check()


WRONG: list[tuple[str, str | bytes, tuple[int, str | None]]] = [
    ("items", "", (1, None)),
    ("items", "\n\n", (1, "item_id")),
    ("items", "sku\nA\n", (1, "sku")),
    ("items", "item_id,item_id\nA,A\n", (1, "item_id")),
    ("items", "item_id\nA\nA\n", (3, "item_id")),
    ("items", "item_id,category\nA\n", (2, None)),
    ("items", "item_id,category\nA,b,c\n", (2, None)),
    ("items", "item_id\n-A\n", (2, "item_id")),
    ("items", "item_id,status\nA,gone\n", (2, "status")),
    ("items", "item_id,description\nA,ok\n,no id\n", (3, "item_id")),
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


async def test_a_wrong_row_is_named_and_nothing_is_taken(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("A")
    before = len(await published(warehouse.service))
    for kind, text, expected in WRONG:
        answer = await send(client, kind, text)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:crossdock:problem:import-refused"), text
        errors = [(error["row"], error["column"]) for error in answer.json()["errors"]]
        assert expected in errors, (text, answer.json())
    assert len(await published(warehouse.service)) == before and not await warehouse.levels()


async def test_what_is_too_large_or_no_csv_or_unknown_is_refused(fresh: Fresh, clients: Clients) -> None:
    service = await fresh(build, Settings, import_max_rows=3, import_max_bytes=1024)
    client = clients(service, scopes=("stock:read", "stock:write"))
    rows = await send(client, "items", "item_id\n" + "".join(f"i{n}\n" for n in range(4)))
    assert (rows.status_code, rows.json()["type"]) == (413, "urn:crossdock:problem:too-many-rows")
    assert (await send(client, "items", "item_id\n" + "x" * 2000)).status_code == 413
    assert (await client.post("/v1/imports/items", json={})).status_code == 415
    assert (await send(client, "customers", ITEMS)).status_code == 422
    assert (await send(client, "items", ITEMS, reference="no spaces")).status_code == 422
    reader = clients(service, scopes=("stock:read",))
    assert (await send(reader, "items", ITEMS)).status_code == 403
    assert await published(service) == []


async def test_a_template_can_be_filled_in_and_sent(client: httpx.AsyncClient) -> None:
    for kind in ("items", "locations", "opening-stock"):
        template = await client.get(f"/v1/imports/{kind}/template")
        assert template.headers["content-type"].startswith("text/csv")
        assert await counts(client, kind, template.text) == (1, 0, 0)


async def test_a_key_answers_again_and_not_for_another_file(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "text/csv", "idempotency-key": "k"}
    first = await client.post("/v1/imports/items", content=ITEMS, headers=headers)
    again = await client.post("/v1/imports/items", content=ITEMS, headers=headers)
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    assert (await client.post("/v1/imports/items", content=ITEMS + "D,,,\n", headers=headers)).status_code == 422


async def test_five_thousand_rows_take_seconds_and_not_minutes(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open()
    items = "item_id,description\n" + "".join(f"i{n},Item {n}\n" for n in range(5_000))
    stock = "location_id,item_id,quantity\n" + "".join(f"north,i{n},{n + 1}\n" for n in range(5_000))
    began = time.perf_counter()
    assert await counts(client, "items", items) == (5_000, 0, 0)
    assert await counts(client, "opening-stock", stock) == (5_000, 0, 0)
    assert time.perf_counter() - began < 30  # a second or two on an idle machine; row by row it would be minutes
    assert await counts(client, "opening-stock", stock) == (0, 0, 5_000)
    await warehouse.check()


@given(st.lists(st.lists(st.text(alphabet='ab,"\n\r é', max_size=6), min_size=2, max_size=2), max_size=8), st.data())
def test_a_file_means_the_same_however_it_is_cut(rows: list[list[str]], data: st.DataObject) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["item_id", "description"], *rows])
    content = text.getvalue().encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))

    def understood(pieces: list[bytes]) -> object:
        async def chunks() -> Any:
            for piece in pieces:
                yield piece

        sheet = Sheet("items")
        asyncio.run(read(chunks(), sheet, max_rows=100))
        try:
            return [(row.number, row.cells) for row in sheet.rows()]
        except ImportRefused as refused:
            return refused.errors

    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert understood(pieces) == understood([content])
