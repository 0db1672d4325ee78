"""Multiply the orders of a database with SQL, with all rows that belong to them. The copies are older than the orders.

`take` keeps the rows of the orders that were placed over HTTP as a sample. `multiply` inserts copies of the sample:
other ids and references, and the same times and quantities. The columns are read from the database, so a new column
needs no change here.
"""

from collections.abc import Mapping
from typing import Final

import asyncpg

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "order_service": {
        "orders": "true",
        "order_changes": "true",
        "idempotency_key": "route LIKE '%/orders'",
        "outbox": "topic = 'crossdock.orders.v1'",
        "inbox": "received_at >= (SELECT min(placed_at) FROM orders)",
    },
    "inventory_service": {
        "reservations": "true",
        "reservation_lines": "true",
        "allocations": "true",
        "movements": "kind = 'reservation'",
        "outbox": "created_at >= (SELECT min(placed_at) FROM reservations)",
        "inbox": "received_at >= (SELECT min(placed_at) FROM reservations)",
    },
}
"""The tables that grow with the orders, by database, and which of their rows belong to orders."""

OTHERWISE: Final[Mapping[str, str]] = {
    "orders.reference": "reference || '-' || copy",
    "idempotency_key.key": "key || '-' || copy",
    "movements.reference": "sample.older(reference::uuid, copy)::text",
}
"""Columns with an identity that is not a UUID."""

# UUIDv7 begins with 48 bits of time. A sample is placed within a minute, so copies a minute apart have different ids.
SCHEMA: Final = """
    CREATE SCHEMA sample;
    CREATE FUNCTION sample.older(id uuid, minutes bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN (
        lpad(to_hex(('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint - minutes * 60000), 12, '0')
        || substr(replace(id::text, '-', ''), 13)
    )::uuid;
"""

COLUMNS: Final = """
    SELECT column_name AS name, data_type AS type FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = $1 AND is_identity = 'NO' AND is_generated = 'NEVER'
    ORDER BY ordinal_position
"""

STOCK: Final = """
    CREATE TABLE sample.stock AS
    SELECT item_id, location_id, sum(quantity)::bigint AS quantity FROM allocations GROUP BY item_id, location_id
"""

# Stock for the copies, so that the levels equal the ledger and cover what is reserved.
RECEIVE: Final = """
    WITH received AS (
        INSERT INTO opening_stock (reference, item_id, location_id, quantity, recorded_at)
        SELECT 'copies from ' || $1::bigint, item_id, location_id, quantity * ($2::bigint - $1 + 1), now()
        FROM sample.stock RETURNING *
    ), moved AS (
        INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at)
        SELECT item_id, location_id, quantity, 0, 'opening', reference, gen_random_uuid(), recorded_at FROM received
    )
    UPDATE levels SET on_hand = levels.on_hand + quantity, reserved = levels.reserved + quantity
    FROM received WHERE (levels.item_id, levels.location_id) = (received.item_id, received.location_id)
"""


async def take(sql: asyncpg.Connection, database: str) -> None:
    """Copy the rows of all orders into the schema `sample`."""
    await sql.execute(SCHEMA)
    for table, ours in TABLES[database].items():
        await sql.execute(f"CREATE TABLE sample.{table} AS SELECT * FROM public.{table} WHERE {ours}")
    if database == "inventory_service":
        await sql.execute(STOCK)


async def multiply(sql: asyncpg.Connection, database: str, first: int, last: int) -> None:
    """Insert the copies `first` to `last` of the sample. No copy may be inserted twice."""
    async with sql.transaction():
        if database == "inventory_service":
            await sql.execute(RECEIVE, first, last)
        for table in TABLES[database]:
            columns = {row["name"]: _copied(table, row["name"], row["type"]) for row in await sql.fetch(COLUMNS, table)}
            await sql.execute(
                f"INSERT INTO public.{table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
                f"FROM generate_series($1::bigint, $2::bigint) AS copy CROSS JOIN sample.{table}",
                first,
                last,
            )


async def settle(sql: asyncpg.Connection, database: str) -> None:
    """Vacuum and analyze the tables, as autovacuum would have done while they grew."""
    for table in TABLES[database]:
        await sql.execute(f"VACUUM (ANALYZE) public.{table}")


def _copied(table: str, column: str, kind: str) -> str:
    return OTHERWISE.get(f"{table}.{column}", f"sample.older({column}, copy)" if kind == "uuid" else column)
