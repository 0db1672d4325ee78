"""Quantities in other units of an item are booked as whole base units: documents and opening stock."""

import httpx
import pytest
from warehouse import Warehouse, placed, receipt

from crossdock_chassis import Service
from crossdock_chassis.testing import Violations, published
from crossdock_events.items import ItemChanged, ItemRegistered, ItemUnit
from inventory_service.reservations.model import Status
from inventory_service.stock.checks import DOCUMENT

FLOUR = {"item_id": "FLOUR", "unit_of_measure": "g", "units": {"kg": 1000, "sack": 25000}}


@pytest.fixture
async def flour(warehouse: Warehouse, client: httpx.AsyncClient) -> Warehouse:
    await warehouse.open("a")
    assert (await client.post("/v1/items", json=FLOUR)).status_code == 201
    return warehouse


async def test_units_of_an_item_are_in_its_events(
    service: Service, flour: Warehouse, client: httpx.AsyncClient
) -> None:
    changed = await client.patch("/v1/items/FLOUR", json={"units": {"kg": 1000}})
    assert (changed.json()["units"], changed.json()["version"]) == ({"kg": 1000}, 2)
    refused = await client.patch("/v1/items/FLOUR", json={"units": {"g": 1}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/units/g")
    rows = [row["value"] for row in await published(service) if row["key"] == b"FLOUR"]
    kg = ItemUnit(unit="kg", factor=1000)
    assert ItemRegistered.model_validate_json(rows[0]).units == (kg, ItemUnit(unit="sack", factor=25_000))
    assert ItemChanged.model_validate_json(rows[1]).units == (kg,)


async def test_receipt_and_transfer_book_base_units(
    service: Service, flour: Warehouse, client: httpx.AsyncClient, violations: Violations
) -> None:
    kilos = {"item_id": "FLOUR", "quantity": 2.5, "unit": "kg"}
    body = receipt(kilos, {"item_id": "FLOUR", "quantity": 500}, {"item_id": "a", "quantity": 3.0})
    made = await client.post("/v1/receipts", json=body)
    assert (made.status_code, made.json()["lines"][0]) == (201, kilos | {"base_quantity": 2500})
    assert (await client.get(made.headers["location"])).json() == made.json()
    again = await client.post("/v1/receipts", json=body)
    assert (again.status_code, again.json()) == (200, made.json())
    moved = {"reference": "T-1", "from_location_id": "north", "to_location_id": "south", "lines": [kilos]}
    assert (await client.post("/v1/transfers", json=moved)).status_code == 201
    levels = await flour.levels()
    assert (levels["FLOUR", "north"], levels["FLOUR", "south"]) == ((500, 0), (2500, 0))
    assert levels["a", "north"] == (3, 0)
    await flour.check()
    assert DOCUMENT.title not in await violations(service)


async def test_wrong_quantity_of_a_receipt_names_the_line(flour: Warehouse, client: httpx.AsyncClient) -> None:
    first = {"item_id": "FLOUR", "quantity": 1, "unit": "kg"}
    cases = [
        ({"item_id": "FLOUR", "quantity": 0.0005, "unit": "kg"}, "/lines/1/quantity", "not_whole"),
        ({"item_id": "a", "quantity": 1, "unit": "kg"}, "/lines/1/unit", "unknown_unit"),
        ({"item_id": "a", "quantity": 1.5}, "/lines/1/quantity", "not_whole"),
        ({"item_id": "FLOUR", "quantity": 100_000, "unit": "sack"}, "/lines/1/quantity", "too_much"),
    ]
    for line, pointer, code in cases:
        answer = await client.post("/v1/receipts", json=receipt(first, line))
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["pointer"], error["code"]) == (422, pointer, code)
    assert await flour.levels() == {}


async def test_adjustment_books_base_units_and_withdraws_reservations(
    service: Service, flour: Warehouse, client: httpx.AsyncClient, violations: Violations
) -> None:
    await client.post("/v1/receipts", json=receipt({"item_id": "FLOUR", "quantity": 3, "unit": "kg"}))
    order = placed(("FLOUR", 2000))
    await flour.reserve(order)
    lost = {"item_id": "FLOUR", "quantity": -1.5, "unit": "kg"}
    body = receipt(lost, {"item_id": "a", "quantity": 2.0}, reference="A-1", reason="damage")
    made = await client.post("/v1/adjustments", json=body)
    assert (made.status_code, made.json()["lines"][0]) == (201, lost | {"base_quantity": -1500})
    again = await client.post("/v1/adjustments", json=body)
    assert (again.status_code, again.json()) == (200, made.json())
    assert (await client.get(made.headers["location"])).json() == made.json()
    assert (await flour.held(order.order_id)).status is Status.WAITING
    assert await flour.levels() == {("FLOUR", "north"): (1500, 0), ("a", "north"): (2, 0)}
    await flour.check()
    assert DOCUMENT.title not in await violations(service)


async def test_wrong_quantity_of_an_adjustment_names_the_line(flour: Warehouse, client: httpx.AsyncClient) -> None:
    first = {"item_id": "FLOUR", "quantity": -1, "unit": "kg"}
    wrong = [
        ({"item_id": "FLOUR", "quantity": -0.0005, "unit": "kg"}, "/lines/1/quantity"),
        ({"item_id": "FLOUR", "quantity": 0.0, "unit": "kg"}, "/lines/1/quantity"),
        ({"item_id": "a", "quantity": 1, "unit": "kg"}, "/lines/1/unit"),
        ({"item_id": "a", "quantity": -1.5}, "/lines/1/quantity"),
        ({"item_id": "FLOUR", "quantity": -100_000, "unit": "sack"}, "/lines/1/quantity"),
        ({"item_id": "what", "quantity": -1, "unit": "kg"}, "/lines/1/item_id"),
    ]
    refused = [("adjustments", receipt(first, line, reason="count"), pointer) for line, pointer in wrong]
    await flour.refuses(client, refused)


async def test_opening_stock_counts_base_units(flour: Warehouse, client: httpx.AsyncClient) -> None:
    text = "location_id,item_id,quantity,unit\nnorth,FLOUR,2.5,kg\nsouth,FLOUR,700,\n"
    assert await flour.counts(client, "opening-stock", text) == (2, 0, 0)
    same = "location_id,item_id,quantity,unit\nnorth,FLOUR,2500,g\nsouth,FLOUR,0.7,kg\n"
    assert await flour.counts(client, "opening-stock", same) == (0, 0, 2)
    assert await flour.levels() == {("FLOUR", "north"): (2500, 0), ("FLOUR", "south"): (700, 0)}
    wrong = "location_id,item_id,quantity,unit\nnorth,FLOUR,0.0001,kg\nnorth,a,1,kg\nnorth,what,1,kg\nsouth,a,1.5,\n"
    found = []
    for text in (wrong[: wrong.index("south")], wrong):
        refused = await flour.imported(client, "opening-stock", text, reference="other")
        found.append([(error["row"], error["column"]) for error in refused["errors"]])
    assert found == [[(2, "quantity"), (3, "unit"), (4, "item_id")], [(5, "quantity")]]


async def test_imported_item_has_its_units(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    text = "item_id,unit_of_measure,units\nFLOUR,g,kg=1000 sack=25000\nWIRE,mm,\n"
    assert await warehouse.counts(client, "items", text) == (2, 0, 0)
    assert await warehouse.counts(client, "items", text) == (0, 0, 2)
    assert (await client.get("/v1/items/FLOUR")).json()["units"] == {"kg": 1000, "sack": 25000}
    for cell in ("kg", "kg=0", "kg=1.5", "kg=2 kg=3", "kg=2,", "g=1", "Kg=2", "kg=1000sack=2"):
        refused = await warehouse.imported(client, "items", f'item_id,unit_of_measure,units\nX,g,"{cell}"\n')
        assert [error["column"] for error in refused["errors"]] == ["units"], cell
    assert await warehouse.counts(client, "items", "item_id,units\nFLOUR,\n") == (0, 1, 0)
    assert (await client.get("/v1/items/FLOUR")).json()["units"] == {}
