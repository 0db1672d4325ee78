"""Opening stock counts once under its reference, and serves backorders."""

import httpx
from warehouse import Warehouse, placed

from inventory_service.reservations.model import Status

STOCK = "reference,location_id,item_id,quantity\nopen-1,north,A,5\nopen-1,south,A,3\nopen-1,north,B,0\n"


async def test_opening_stock_with_another_quantity_is_refused(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("A", "B")
    await warehouse.imported(client, "opening-stock", STOCK)
    other = await warehouse.imported(client, "opening-stock", STOCK.replace(",5\n", ",6\n"))
    assert other["errors"] == [
        {"row": 2, "column": "quantity", "detail": "open-1 counted 5 before: adjust it, or use another reference"}
    ]
    assert (await warehouse.levels())["A", "north"] == (5, 0)
    without = "location_id,item_id,quantity\nnorth,A,2\n"
    assert await warehouse.counts(client, "opening-stock", without, reference="second") == (1, 0, 0)
    assert await warehouse.counts(client, "opening-stock", without, reference="second") == (0, 0, 1)
    assert await warehouse.counts(client, "opening-stock", without) == (1, 0, 0)
    assert (await warehouse.levels())["A", "north"] == (9, 0)
    await warehouse.check()


async def test_opening_stock_serves_backorders(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("A", "B")
    order = placed(("A", 8))
    await warehouse.reserve(order)
    await warehouse.imported(client, "opening-stock", STOCK)
    await warehouse.drain()
    assert (await warehouse.held(order.order_id)).status is Status.OPEN
    await warehouse.check()
