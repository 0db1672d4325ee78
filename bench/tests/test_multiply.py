"""Copies of orders are whole: each has all its rows, and the checks of both services find nothing wrong."""

import re

import asyncpg
from bench import goods
from bench.multiply import TABLES, multiply, settle, take

from crossdock_chassis.testing import Clients, Deliver, Fresh, Violations, published, run_queued
from crossdock_events.items import ItemRegistered
from crossdock_events.orders import OrderPlaced
from crossdock_events.reservations import StockReserved
from inventory_service.service import Settings as InventorySettings
from inventory_service.service import build as build_inventory
from order_service.service import Settings as OrderSettings
from order_service.service import build as build_orders

COPIES = 3
FINGERPRINTS = "orders whose columns differ from their history, document or fingerprint"
"""The document and the fingerprint of a copy have the reference of its original."""
LOG = re.compile(r"\bevents?\b|without an order")
"""Titles of checks that compare with the log. In this test it has some events twice, and none of the copies."""


async def counts(sql: asyncpg.Connection, database: str) -> dict[str, int]:
    return {table: await sql.fetchval(f"SELECT count(*) FROM public.{table}") for table in TABLES[database]}


async def copied(dsn: str, database: str) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Multiply, and return the rows of each table before, in the sample, and afterwards."""
    sql = await asyncpg.connect(dsn)
    before = await counts(sql, database)
    await take(sql, database)
    sample = {table: await sql.fetchval(f"SELECT count(*) FROM sample.{table}") for table in TABLES[database]}
    await multiply(sql, database, 1, 2)
    await multiply(sql, database, 3, COPIES)
    await settle(sql, database)
    after = await counts(sql, database)
    await sql.close()
    return before, sample, after


async def test_copies_of_orders_are_whole(
    fresh: Fresh, clients: Clients, deliver: Deliver, violations: Violations, log_ends: dict[int, int]
) -> None:
    orders, inventory = await fresh(build_orders, OrderSettings), await fresh(build_inventory, InventorySettings)
    assortment = goods.Assortment(10)
    items = [item.id for item in assortment.items]
    stock = clients(inventory, scopes=("stock:read", "stock:write"))
    for kind, text in (
        ("locations", goods.locations_csv()),
        ("items", goods.items_csv(items)),
        ("opening-stock", goods.stock_csv(dict.fromkeys(items, goods.STOCK), "bench")),
    ):
        await stock.post(f"/v1/{kind}:import", content=text.encode(), headers={"content-type": "text/csv"})
        await run_queued(inventory)
    await deliver(orders, *(ItemRegistered(item_id=each, unit_of_measure="each", status="active") for each in items))
    shop = clients(orders, scopes=("orders:read", "orders:write"))
    for number, body in enumerate(goods.orders(5, "PO", 1, assortment)):
        (await shop.post("/v1/orders", json=body, headers={"idempotency-key": f"k{number}"})).raise_for_status()
    placed = [OrderPlaced.model_validate_json(row["value"]) for row in await published(orders)]
    answers = await deliver(inventory, *placed)
    await deliver(orders, *(each for each in answers if isinstance(each, StockReserved)))
    for service, database in ((orders, "order_service"), (inventory, "inventory_service")):
        before, sample, after = await copied(service.settings.postgres, database)
        assert all(sample.values()), sample
        received = len(items) * 2  # movements of the stock that the copies reserve
        for table, rows in after.items():
            more = rows - before[table] - COPIES * sample[table]
            assert 0 < more <= 2 * received if table == "movements" else more == 0, table
        assert {title for title in await violations(service) if not LOG.search(title)} <= {FINGERPRINTS}
