"""Simulate 90 days at 200 orders per second by SQL: every table levels off or follows its rule in docs/retention.md.

SCALE divides the orders of each simulated day, and with them the rows that each retention keeps. Days stay days. Real
services first handle a few orders. The databases are copied, and each simulated day clones the rows of these orders.
After each day the real housekeeping runs as if at that time, and VACUUM does what autovacuum does many times a day.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import uuid4

import asyncpg
from harness import INVENTORY, ORDERS, Harness, order
from retention_page import TABLES, rules

from crossdock_chassis import Database, Unit
from crossdock_chassis.housekeeping.partitions import Units, keep_partitions
from crossdock_chassis.housekeeping.retention import RETENTIONS, purge
from crossdock_local.servers.postgres import database_in

SCALE: Final = int(os.environ.get("CROSSDOCK_LONG_SCALE", "10000"))
DAYS: Final = 90
SAMPLE: Final = 24
"""Orders that the real services handle. One in eight is cancelled, one in eight waits for stock."""
CLONES: Final = 200 * 86_400 // SCALE // SAMPLE
"""Clones of the sample in a day."""

LEVEL_DAY: Final = 32
"""All retentions have ended by this day."""
OPEN_ORDERS: Final = ("waiting_items", "allocations")
"""These tables have rows of open orders. The simulated orders never end."""

CLONED: Final = {
    ORDERS: ("orders", "waiting_items", "outbox", "inbox", "idempotency_key"),
    INVENTORY: (
        "movements",
        "reservations",
        "reservation_lines",
        "allocations",
        "documents",
        "outbox",
        "inbox",
        "idempotency_key",
    ),
}

COLUMNS: Final = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = $1 AND is_identity = 'NO' ORDER BY ordinal_position
"""

# Work that ends on the same day, and rows that only change. $1 is the end of the day, $2 the number of orders.
TRAFFIC: Final = (
    "INSERT INTO outbox_pending (created_at, ids) SELECT created_at, array_agg(id) FROM outbox "
    "WHERE created_at >= $1::timestamptz - interval '1 day' AND created_at < $1 GROUP BY created_at",
    "DELETE FROM outbox_pending",
    "INSERT INTO effect (id, kind, target, payload, state, finished_at) "
    "SELECT gen_random_uuid(), 'webhook', 'partner', '{}', 'done', $1::timestamptz FROM generate_series(1, $2::int)",
    "INSERT INTO dead_letter "
    '(consumer_group, topic, partition, "offset", value, headers, state, reason, fingerprint, resolved_at) '
    "SELECT 'months', 'months', 0, nextval('letters'), '', '{}', 'redriven', 'r', 'f', $1::timestamptz "
    "FROM generate_series(1, $2::int / 50)",
    "INSERT INTO dead_letter_result (job, letter, outcome, at) "
    "SELECT gen_random_uuid(), n, 'applied', $1::timestamptz FROM generate_series(1, $2::int / 50) AS n",
    "INSERT INTO job (id, kind, requested_by, status, finished_at) "
    "SELECT gen_random_uuid(), 'import-items', 'ada', 'done', $1::timestamptz FROM generate_series(1, $2::int / 50)",
    *["UPDATE consumer_position SET next = next + 1"] * 24,
    *["UPDATE job SET due_at = now() WHERE every_seconds IS NOT NULL"] * 24,
)

SIZES: Final = """
    SELECT coalesce(parent.relname, class.relname) AS name, sum(pg_total_relation_size(class.oid))::bigint AS bytes
    FROM pg_class AS class LEFT JOIN pg_inherits ON inhrelid = class.oid
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE class.relnamespace = 'public'::regnamespace AND class.relkind = 'r' AND class.relname <> 'outbox_rest'
    GROUP BY 1
"""


class Size(NamedTuple):
    rows: int
    bytes: int


async def test_every_table_levels_off_or_follows_its_rule(harness: Harness) -> None:
    began = datetime.now(UTC) - timedelta(days=DAYS)
    await _sample(harness)
    async with _copies(harness) as copies:
        for service, dsn in copies.items():
            await _simulate(service, dsn, began)


async def _sample(harness: Harness) -> None:
    """Let the real services handle the orders that are cloned."""
    items = await harness.items(3, on_hand=10_000)
    (scarce,) = await harness.items(1)
    async with harness.client() as client:

        async def run(number: int) -> None:
            lines = [(item, 1) for item in items] + ([(scarce, 1)] if number % 8 == 1 else [])
            placed = await harness.post(client, order(f"M-{number}", *lines), **{"Idempotency-Key": uuid4().hex})
            await harness.until(client, placed["id"], "backordered" if number % 8 == 1 else "confirmed")
            if number % 8 == 2:
                answer = await client.post(
                    f"/v1/orders/{placed['id']}:cancel", headers={"Idempotency-Key": uuid4().hex}
                )
                assert answer.status_code == 200, answer.text

        await asyncio.gather(*map(run, range(SAMPLE)))
    await harness.adds_up()


@asynccontextmanager
async def _copies(harness: Harness) -> AsyncIterator[Mapping[str, str]]:
    """Yield the DSNs of copies of both databases. The services stop meanwhile, because a copy needs its source idle."""
    admin_dsn, copies = harness.stack.servers.databases.admin_dsn, {}
    handles = [harness.stack.process(f"{service}.{role}") for service in CLONED for role in ("api", "worker")]
    for handle in handles:
        await asyncio.to_thread(handle.stop)
    admin = await asyncpg.connect(admin_dsn)
    try:
        for service in CLONED:
            copies[service] = database_in(admin_dsn, f"months_{uuid4().hex[:8]}")
            source = harness.stack.dsn(service).rpartition("/")[2]
            await admin.execute(f'CREATE DATABASE {copies[service].rpartition("/")[2]} TEMPLATE "{source}"')
        for handle in handles:
            await asyncio.to_thread(handle.start)
        yield copies
    finally:
        for dsn in copies.values():
            await admin.execute(f"DROP DATABASE IF EXISTS {dsn.rpartition('/')[2]} WITH (FORCE)")
        await admin.close()


async def _simulate(service: str, dsn: str, began: datetime) -> None:
    sql = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    database = Database(dsn, source=service)
    try:
        await sql.execute("CREATE SEQUENCE letters")
        clones = [await _clone(sql, table) for table in CLONED[service]]
        sample: dict[str, int] = {
            table: await sql.fetchval(f"SELECT count(*) FROM sample_{table}") for table in CLONED[service]
        }
        days: list[dict[str, Size]] = []
        for day in range(DAYS):
            at = began + timedelta(days=day)
            await keep_partitions(_units(database, at))
            for statement in clones:
                await sql.execute(statement, at, day)
            for statement in TRAFFIC:
                end, orders = at + timedelta(days=1), CLONES * SAMPLE
                await sql.execute(
                    statement, *[value for name, value in (("$1", end), ("$2", orders)) if name in statement]
                )
            await purge(_units(database, at + timedelta(days=1)))
            for retention in RETENTIONS:
                await sql.execute(f"VACUUM {retention.table}")
            await sql.execute("VACUUM outbox_pending, consumer_position")
            days.append(await _sizes(sql))
        _judge(service, days, sample)
    finally:
        await database.close()
        await sql.close()


def _units(database: Database, now: datetime) -> Units:
    """Open units as if at that time."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Unit]:
        async with database.unit() as unit:
            unit.now = now
            yield unit

    return opened


async def _clone(sql: asyncpg.Connection, table: str) -> str:
    """Keep the rows of the sample aside. Return the statement that clones them over the day that begins at $1."""
    await sql.execute(f"CREATE TABLE sample_{table} AS TABLE {table}")
    salt = "format('-%s-%s', $2::int, n)"
    values = {}
    for row in await sql.fetch(COLUMNS, table):
        name = f'"{row["column_name"]}"'
        if row["data_type"] == "uuid":
            values[name] = f"md5({name}::text || {salt})::uuid"
        elif row["data_type"] == "timestamp with time zone":
            values[name] = f"CASE WHEN {name} IS NOT NULL THEN $1 + n * interval '1 day' / {CLONES} END"
        else:
            values[name] = (
                f"{name} || {salt}" if row["column_name"] in ("reference", "key") and table != "outbox" else name
            )
    return (
        f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} "
        f"FROM sample_{table}, generate_series(0, {CLONES - 1}) AS n, (SELECT $1::timestamptz, $2::int) AS used"
    )


async def _sizes(sql: asyncpg.Connection) -> dict[str, Size]:
    bytes = {row["name"]: row["bytes"] for row in await sql.fetch(SIZES)}
    names = [row["relname"] for row in await sql.fetch(TABLES) if not row["relname"].startswith("sample_")]
    return {name: Size(await sql.fetchval(f"SELECT count(*) FROM {name}"), bytes.get(name, 0)) for name in names}


def _judge(service: str, days: Sequence[Mapping[str, Size]], sample: Mapping[str, int]) -> None:
    """Compare the third month with the second one, or the growth with the orders."""
    page = rules()
    print(f"\n{service}: {200 * 86_400 * DAYS:,} orders / {SCALE:,}", flush=True)
    for table in sorted(days[-1]):
        half, last = days[DAYS // 2 - 1][table], days[-1][table]
        print(f"  {table:26}{half.rows:>9,} rows {half.bytes / 1e6:>7.1f} MB on day {DAYS // 2}", end="")
        print(f"{last.rows:>10,} rows {last.bytes / 1e6:>7.1f} MB on day {DAYS}: {page[table]}", flush=True)
        if "for ever" in page[table] or table in OPEN_ORDERS:
            assert last.rows == (sample[table] * (1 + CLONES * DAYS) if table in sample else half.rows), table
            assert last.bytes <= 2.4 * half.bytes + 1e6, f"{table} grows faster than its orders"
        else:
            second, third = ([day[table] for day in days[first:end]] for first, end in ((LEVEL_DAY, 60), (60, DAYS)))
            assert max(each.rows for each in third) <= 1.1 * max(each.rows for each in second) + 10, table
            assert max(each.bytes for each in third) <= 1.1 * max(each.bytes for each in second) + 1e5, table
    for retention in RETENTIONS:
        if rows := sample.get(retention.table):
            kept = days[-1][retention.table].rows / (rows * CLONES) * timedelta(days=1)
            sampled = timedelta(days=1) / CLONES  # the rows of the sample itself are young and kept too
            assert abs(kept - retention.kept) <= sampled + timedelta(minutes=10), f"{retention.table}: kept for {kept}"
