"""The measurement of feeds runs, and shows the cost of a row in a table of changes."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg
from bench.feeds import BATCH, costs


async def test_every_statement_is_measured(postgres_admin: str) -> None:
    admin = await asyncpg.connect(postgres_admin)
    await admin.execute("CREATE DATABASE bench_feeds")
    await admin.close()
    found = await costs(urlunsplit(urlsplit(postgres_admin)._replace(path="/bench_feeds")), 2 * BATCH, 1)
    assert len(found) == 8
    wal = {statement: cost.wal for statement, [cost] in found.items()}
    assert wal["orders: update"] < wal["orders and a table of changes: update"]
