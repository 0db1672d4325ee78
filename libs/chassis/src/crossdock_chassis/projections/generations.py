"""The generations of a projection: their rows, their schemas, and the views by which readers see one of them."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import MetaData, Table
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from crossdock_chassis.database.unit import Database
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_chassis.projections.declare import Projection

HOLD_SECONDS: Final = 0.5
"""The old group waits so long for the new one to pass it. It must be shorter than the lock timeout of a batch."""

VIEW_LOCK_MILLISECONDS: Final = 200
"""Readers wait so long behind the switch of all views. It is tried again if a reader holds a view for longer."""

LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 5))"

ADD: Final = """
    INSERT INTO projection (generation, name, version, state, consumer_group, current_since)
    SELECT generation, $1, $2, $3, $4 || '.' || generation, CASE WHEN $3 = 'current' THEN now() END
    FROM nextval('projection_generation') AS generation
    RETURNING generation
"""

FIND: Final = """
    SELECT generation, version, consumer_group, job_id FROM projection WHERE name = $1 AND state = $2
"""

LIVE: Final = """
    SELECT generation, name, version, state FROM projection WHERE state <> 'retired' ORDER BY generation
"""

# Batches of the old group wait for these locks.
HOLD: Final = "SELECT FROM consumer_position WHERE consumer_group = $1 ORDER BY topic, partition FOR SHARE"

BEHIND: Final = """
    SELECT EXISTS (
        SELECT FROM consumer_position AS old
        LEFT JOIN consumer_position AS new
            ON (new.consumer_group, new.topic, new.partition) = ($2, old.topic, old.partition)
        WHERE old.consumer_group = $1 AND old.topic = ANY ($3) AND old.next > coalesce(new.next, -1)
    )
"""

PARKED_ANEW: Final = """
    SELECT count(*) FROM parked_key AS new WHERE consumer_group = $2 AND NOT EXISTS (
        SELECT FROM parked_key AS old WHERE (old.consumer_group, old.topic, old.key) = ($1, new.topic, new.key)
    )
"""

COLUMNS: Final = """
    SELECT relname AS "table", attname AS name, format_type(atttypid, atttypmod) AS type
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = $1::text::regnamespace AND relkind::text = ANY ($2) AND attnum > 0 AND NOT attisdropped
    ORDER BY relname, attnum
"""


_DIALECT: Final = make_url("postgresql+asyncpg://").get_dialect()()


class Column(NamedTuple):
    name: str
    type: str


class Live(NamedTuple):
    """A generation that workers of its version build."""

    generation: int
    name: str
    version: int
    state: str


class Stored(NamedTuple):
    """A row of `projection`."""

    generation: int
    version: int
    group: str
    job_id: UUID | None


async def live(database: Database) -> list[Live]:
    return [Live(*row) for row in await database.fetch(LIVE)]


def subscriptions(service: str, projections: Sequence[Projection], live: Sequence[Live]) -> dict[int, Subscription]:
    """Return what each generation reads that the service's own version builds, by generation."""
    own = {each.name: each for each in projections}
    return {
        each.generation: own[each.name].subscription(service, each.generation)
        for each in live
        if each.name in own and each.version == own[each.name].version
    }


async def lock(sql: asyncpg.Connection, projection: Projection) -> None:
    """Serialise all changes of the generations of a projection."""
    await sql.execute(LOCK, f"projection {projection.name}")


async def find(sql: asyncpg.Connection, projection: Projection, state: str) -> Stored | None:
    row = await sql.fetchrow(FIND, projection.name, state)
    return row and Stored(*row)


async def prepare(sql: asyncpg.Connection, service: str, projection: Projection) -> None:
    """Create the first generation, or show readers the columns that this version adds: they are null until a rebuild.

    It runs with the migrations, before the service starts.
    """
    await lock(sql, projection)
    current = await find(sql, projection, "current")
    generation = current.generation if current else await create(sql, service, projection, "current")
    await show(sql, projection, generation, only_changed=current is not None)


async def create(sql: asyncpg.Connection, service: str, projection: Projection, state: str) -> int:
    """Create the schema and the tables of a new generation. Return its number."""
    generation: int = await sql.fetchval(ADD, projection.name, projection.version, state, projection.group(service))
    schema = _quoted(projection.schema(generation))
    await sql.execute(f"CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, public")
    for statement in _definitions(projection.tables):
        await sql.execute(statement)
    await sql.execute("SET LOCAL search_path TO DEFAULT")
    return generation


async def show(sql: asyncpg.Connection, projection: Projection, generation: int, *, only_changed: bool = False) -> None:
    """Point the readers' views to a generation.

    A view has the columns of its table, then the declared columns that the table lacks, as nulls. So readers of a newer
    version work before its generation is built, and readers of an older one afterwards.
    """
    schema = projection.schema(generation)
    tables, views = await _columns(sql, schema, "r", "p"), await _columns(sql, "public", "v")
    for name in sorted(tables.keys() | projection.tables.tables.keys()):
        there = tables.get(name, [])
        missing = _missing(projection.tables.tables.get(name), there)
        wanted, shown = [*there, *missing], views.get(name, [])
        if only_changed and wanted == shown:
            continue
        if shown != wanted[: len(shown)]:
            await sql.execute(f"DROP VIEW public.{_quoted(name)}")
        values = [_quoted(each.name) for each in there] + [
            f"NULL::{each.type} AS {_quoted(each.name)}" for each in missing
        ]
        source = f" FROM {_quoted(schema)}.{_quoted(name)}" if there else " WHERE false"
        await sql.execute(f"CREATE OR REPLACE VIEW public.{_quoted(name)} AS SELECT {', '.join(values)}{source}")


async def switch(sql: asyncpg.Connection, projection: Projection, generation: int, topics: Sequence[str]) -> str | None:
    """Let readers see a generation that was building, and retire the current one. Return why it must wait, or None.

    The old group holds still meanwhile, so that the new one is not behind it in any partition. A transaction that has
    read the old generation holds its views, so it never sees both.
    """
    await lock(sql, projection)
    new, old = await find(sql, projection, "building"), await find(sql, projection, "current")
    if new is None or new.generation != generation:
        return "another generation is built"
    if old is not None:
        await sql.execute(HOLD, old.group)
        until = time.monotonic() + HOLD_SECONDS
        while await sql.fetchval(BEHIND, old.group, new.group, topics):
            if time.monotonic() > until:
                return "it is behind the current generation"
            await asyncio.sleep(0.02)
        if keys := await sql.fetchval(PARKED_ANEW, old.group, new.group):
            return f"{keys} keys are parked in it and not in the current generation: resolve its dead letters"
        await retire(sql, old.generation)
    each = max(1, VIEW_LOCK_MILLISECONDS // max(1, len(projection.tables.tables)))
    await sql.execute(f"SET LOCAL lock_timeout = {each}")
    await show(sql, projection, generation)
    await sql.execute(
        "UPDATE projection SET state = 'current', current_since = now() WHERE generation = $1", generation
    )
    return None


async def retire(sql: asyncpg.Connection, generation: int) -> None:
    """Give a generation up. Its consumers end, and `retired` drops its tables and rows."""
    await sql.execute("UPDATE projection SET state = 'retired' WHERE generation = $1", generation)


def _definitions(tables: MetaData) -> list[str]:
    found: list[CreateTable | CreateIndex] = []
    for table in tables.sorted_tables:
        found.append(CreateTable(table))
        found += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    return [str(each.compile(dialect=_DIALECT)) for each in found]


async def _columns(sql: asyncpg.Connection, schema: str, *kinds: str) -> dict[str, list[Column]]:
    found: dict[str, list[Column]] = {}
    for row in await sql.fetch(COLUMNS, schema, kinds):
        found.setdefault(row["table"], []).append(Column(row["name"], row["type"]))
    return found


def _missing(declared: Table | None, there: Sequence[Column]) -> list[Column]:
    names = {each.name for each in there}
    columns = () if declared is None else declared.columns
    return [
        Column(each.name, each.type.compile(dialect=_DIALECT).lower()) for each in columns if each.name not in names
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
