"""Insert the rows of a batch with asyncpg alone, to compare with the batch endpoint."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import asyncpg
import uvloop

from order_service.orders.batch import GROUP

ORDER = ("id", "partner", "reference", "fingerprint", "customer_id", "document", "history", "placed_at")
OUTBOX = ("event_id", "topic", "key", "value", "headers")

ORDERS = """
    SELECT id, partner, reference, fingerprint, customer_id, document::text AS document, history::text AS history,
           placed_at
    FROM orders ORDER BY id DESC LIMIT $1
"""
EVENTS = """
    SELECT event_id, topic, key, value, headers::text AS headers FROM outbox
    WHERE topic = 'crossdock.orders.v1' ORDER BY id DESC LIMIT $1
"""
INSERT_ORDERS = """
    INSERT INTO orders (id, partner, reference, fingerprint, customer_id, document, history, placed_at,
                        status, version, reservation_sequence)
    SELECT *, 'placed', 1, 0
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::jsonb[], $7::jsonb[],
                $8::timestamptz[])
"""
INSERT_EVENTS = """
    INSERT INTO outbox (event_id, topic, key, value, headers)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::json[])
"""


def rows_per_second(source: str, target: str, count: int, runs: int, connections: int) -> list[float]:
    """Copy the newest `count` orders and events from `source` to `target`, and return the rate of each run.

    A transaction has as many orders, with their events, as one of a batch.
    """
    return uvloop.run(_measured(source, target, count, runs, connections))


async def _measured(source: str, target: str, count: int, runs: int, connections: int) -> list[float]:
    origin = await asyncpg.connect(source)
    orders, events = await origin.fetch(ORDERS, count), await origin.fetch(EVENTS, count)
    await origin.close()
    parts = [
        (_columns(orders[at : at + GROUP], ORDER), _columns(events[at : at + GROUP], OUTBOX))
        for at in range(0, len(orders), GROUP)
    ]
    pool = await asyncpg.create_pool(target, min_size=connections, max_size=connections)
    try:
        return [await _once(pool, parts, connections, len(orders)) for _ in range(runs)]
    finally:
        await pool.close()


async def _once(
    pool: asyncpg.Pool, parts: Sequence[tuple[list[list[object]], list[list[object]]]], connections: int, rows: int
) -> float:
    await pool.execute("TRUNCATE orders, outbox")
    waiting = iter(parts)

    async def insert() -> None:
        async with pool.acquire() as connection:
            for orders, events in waiting:
                async with connection.transaction():
                    await connection.execute(INSERT_ORDERS, *orders)
                    await connection.execute(INSERT_EVENTS, *events)

    started = monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(insert())
    return rows / (monotonic() - started)


def _columns(rows: Sequence[asyncpg.Record], names: Sequence[str]) -> list[list[object]]:
    return [[row[name] for row in rows] for name in names]
