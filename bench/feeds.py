"""Measure the cost of commit order: the statements that store orders and movements, with and without it.

The values are the processor time of the PostgreSQL backend and the bytes of WAL, per row. `an index on orders` is the
alternative that ADR 0032 rejects: its column changes with every update, so no update stays on its page.
"""

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import psutil
from rich.console import Console
from rich.table import Table

from bench import lifeline
from bench.statistics import middle
from crossdock_chassis import new_id
from crossdock_local.ports import Ports
from crossdock_local.servers import Servers

BATCH: Final = 200
LINES: Final = 3

SCHEMA: Final = """
    CREATE FUNCTION commit_position() RETURNS bigint LANGUAGE sql STABLE
        RETURN (1::bigint << 48) + pg_current_xact_id()::text::bigint;
    CREATE TABLE orders (
        id uuid PRIMARY KEY, partner text NOT NULL, reference text NOT NULL, status text NOT NULL,
        version bigint NOT NULL, placed_at timestamptz NOT NULL, customer_id text, document jsonb NOT NULL,
        history jsonb NOT NULL, UNIQUE (partner, reference)
    ) WITH (fillfactor = 45);
    CREATE INDEX ON orders (partner, placed_at, id);
    CREATE INDEX ON orders (partner, customer_id, placed_at, id) WHERE customer_id IS NOT NULL;
    CREATE TABLE order_changes (
        partner text NOT NULL, changed_in bigint NOT NULL DEFAULT commit_position(), order_id uuid NOT NULL,
        PRIMARY KEY (partner, changed_in, order_id)
    );
    CREATE TABLE indexed (LIKE orders INCLUDING ALL, changed_in bigint NOT NULL DEFAULT commit_position())
        WITH (fillfactor = 45);
    CREATE INDEX ON indexed (partner, changed_in, id);
    CREATE TABLE movements (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item_id text NOT NULL, location_id text NOT NULL,
        on_hand bigint NOT NULL, reserved bigint NOT NULL, kind text NOT NULL, reference text NOT NULL, line_id text,
        reason text, cause uuid NOT NULL, at timestamptz NOT NULL
    );
    CREATE INDEX ON movements (item_id, id);
    CREATE INDEX ON movements (reference);
    CREATE TABLE positioned (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item_id text NOT NULL, location_id text NOT NULL,
        on_hand bigint NOT NULL, reserved bigint NOT NULL, kind text NOT NULL, reference text NOT NULL, line_id text,
        reason text, cause uuid NOT NULL, at timestamptz NOT NULL, changed_in bigint NOT NULL DEFAULT commit_position()
    );
    CREATE INDEX ON positioned (changed_in, id);
    CREATE INDEX ON positioned (item_id, id);
    CREATE INDEX ON positioned (reference);
"""

INSERT: Final = """
    INSERT INTO {table} (id, partner, reference, status, version, placed_at, document, history)
    SELECT id, 'bench', reference, 'placed', 1, now(), $3, '[]'
    FROM unnest($1::uuid[], $2::text[]) AS new (id, reference) ON CONFLICT (partner, reference) DO NOTHING
"""
UPDATE: Final = """
    UPDATE {table} SET status = 'confirmed', version = version + 1, history = history || $2::jsonb{more}
    WHERE id = ANY($1::uuid[])
"""
NOTED: Final = """
    WITH changed AS ({statement} RETURNING partner, id)
    INSERT INTO order_changes (partner, order_id) SELECT partner, id FROM changed
"""
LEDGER: Final = ("item_id", "location_id", "on_hand", "reserved", "kind", "reference", "line_id", "cause", "at")

Plain: TypeAlias = tuple[str, str, str]
ORDERS: Final[Sequence[Plain]] = (
    ("orders", INSERT.format(table="orders"), UPDATE.format(table="orders", more="")),
    (
        "orders and a table of changes",
        NOTED.format(statement=INSERT.format(table="orders")),
        NOTED.format(statement=UPDATE.format(table="orders", more="")),
    ),
    (
        "an index on orders",
        INSERT.format(table="indexed"),
        UPDATE.format(table="indexed", more=", changed_in = commit_position()"),
    ),
)


@dataclass(slots=True)
class Cost:
    microseconds: float
    wal: float


def measure(console: Console, count: int, runs: int) -> None:
    """Print the cost of each statement per row: the median of the runs."""
    with (
        lifeline.folder() as home,
        Servers(home, Ports.free(), kafka=False) as servers,
    ):
        found = asyncio.run(costs(servers.database("bench_feeds"), count, runs))
    table = Table("statement", box=None)
    for name in ("µs per row", "WAL bytes per row"):
        table.add_column(name, justify="right")
    for statement, each in found.items():
        spent, wal = middle([cost.microseconds for cost in each]), middle([cost.wal for cost in each])
        table.add_row(statement, f"{spent:.1f}", f"{wal:,.0f}")
    console.print(table)


async def costs(dsn: str, count: int, runs: int) -> Mapping[str, Sequence[Cost]]:
    """Return the cost of each statement in each run. The database is emptied."""
    found: dict[str, list[Cost]] = {}
    for _ in range(runs):
        connection = await asyncpg.connect(dsn)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.execute(SCHEMA)
        for name, insert, update in ORDERS:
            inserted, updated = await _orders(connection, insert, update, count)
            found.setdefault(f"{name}: insert", []).append(inserted)
            found.setdefault(f"{name}: update", []).append(updated)
            await connection.execute("TRUNCATE orders, order_changes, indexed")
        for table in ("movements", "positioned"):
            title = "movements" if table == "movements" else "movements in commit order"
            found.setdefault(f"{title}: copy", []).append(await _movements(connection, table, count))
        await connection.close()
    return found


async def _orders(connection: asyncpg.Connection, insert: str, update: str, count: int) -> tuple[Cost, Cost]:
    lines = [{"line_id": str(n), "item_id": f"SKU-{n}", "quantity": 3, "unit_price": "9.99"} for n in range(LINES)]
    document = json.dumps({"reference": "PO-1", "currency": "USD", "lines": lines, "total": "89.91"})
    entry = json.dumps([{"type": "crossdock.OrderConfirmed.v1", "id": str(uuid4()), "time": str(datetime.now(UTC))}])
    batches: list[list[UUID]] = [[new_id() for _ in range(BATCH)] for _ in range(count // BATCH)]

    async def place() -> None:
        for ids in batches:
            await connection.execute(insert, ids, [f"PO-{id}" for id in ids], document)

    async def answer() -> None:
        for ids in batches:
            await connection.execute(update, ids, entry)

    return await _cost(connection, count, place()), await _cost(connection, count, answer())


async def _movements(connection: asyncpg.Connection, table: str, count: int) -> Cost:
    now = datetime.now(UTC)
    rows: list[tuple[Any, ...]] = [
        (f"SKU-{n * 7919 % 1000}", "main", 0, 3, "reservation", str(new_id()), "1", new_id(), now) for n in range(count)
    ]

    async def reserve() -> None:
        for at in range(0, count, BATCH):
            await connection.copy_records_to_table(table, columns=LEDGER, records=rows[at : at + BATCH])

    return await _cost(connection, count, reserve())


async def _cost(connection: asyncpg.Connection, rows: int, work: Awaitable[None]) -> Cost:
    seconds, wal = await _read(connection)
    await work
    seconds_after, wal_after = await _read(connection)
    return Cost((seconds_after - seconds) * 1e6 / rows, (wal_after - wal) / rows)


async def _read(connection: asyncpg.Connection) -> tuple[float, int]:
    """Return the processor time of the backend and the position of the WAL."""
    times = psutil.Process(connection.get_server_pid()).cpu_times()
    return times.user + times.system, int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'"))
