"""The order in which changes became visible, for feeds that a client reads forward.

A row's time and its id are chosen before its transaction commits. A reader that asks for "newer than the newest seen"
therefore misses rows that commit late. A feed reads by position instead:

- `commit_position()` is the id of the writing transaction. A column has it as its default.
- `commit_horizon()` is the oldest transaction that still runs. All rows below it are visible, and no more will come.

A page has the rows above the cursor and below the horizon, so a long transaction delays a feed and never loses a row.
Only transactions that write hold back the horizon, for at most `TRANSACTION_LIMIT_SECONDS` in units.

Another cluster counts transactions anew. A restored or promoted database would give small positions, or the same ones a
second time. So a position starts with a generation, in the bits above `GENERATION_BITS`. `renew` begins a generation if
the database finds itself in another cluster or on another timeline.
"""

import logging
from typing import Final

import asyncpg

from crossdock_chassis.database.unit import Database

log = logging.getLogger(__name__)

GENERATION_BITS: Final = 48
"""Enough for 9,000 years at 1,000 transactions a second."""

CLUSTER: Final = """
    SELECT (SELECT system_identifier FROM pg_control_system()) || '/'
        || (SELECT timeline_id FROM pg_control_checkpoint())
"""

COMMIT_LIMIT: Final = f"""
    (((SELECT generation FROM commit_generation)::bigint << {GENERATION_BITS})
     + greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                pg_current_xact_id_if_assigned()::text::bigint + 1))
"""
"""SQL: the position that no row of this snapshot has reached. A row beyond it would be hidden from all readers."""

CHANGED: Final = f"SELECT generation FROM commit_generation WHERE cluster <> ({CLUSTER}) OR settled < generation"

BEGIN: Final = f"""
    UPDATE commit_generation SET generation = generation + 1, cluster = ({CLUSTER})
    WHERE cluster <> ({CLUSTER}) RETURNING generation
"""

SETTLE: Final = """
    UPDATE commit_generation SET settled = generation
    WHERE settled < generation RETURNING generation, pg_current_xact_id()::text::bigint AS since
"""

# The constants are part of the functions, so that PostgreSQL inlines them: a lookup would cost more than the insert.
POSITION: Final = """
    CREATE OR REPLACE FUNCTION commit_position() RETURNS bigint LANGUAGE sql STABLE
    RETURN ({generation}::bigint << {bits}) + pg_current_xact_id()::text::bigint
"""

HORIZON: Final = """
    CREATE OR REPLACE FUNCTION commit_horizon() RETURNS bigint LANGUAGE sql STABLE
    RETURN (CASE WHEN pg_snapshot_xmin(pg_current_snapshot()) > '{since}'::xid8 THEN {generation}::bigint
                 ELSE {generation}::bigint - 1 END << {bits}) + pg_snapshot_xmin(pg_current_snapshot())::text::bigint
"""


async def renew(database: Database) -> None:
    """Begin a new generation of positions if the database was restored elsewhere or promoted.

    The horizon enters the generation in a second transaction, and only when all transactions have ended that ran at
    that time: they may have used the old function.
    """
    if not await database.fetch(CHANGED):
        return
    async with database.unit() as unit:
        await begin(unit.sql)
    async with database.unit() as unit:
        await settle(unit.sql)


async def begin(sql: asyncpg.Connection) -> None:
    generation = await sql.fetchval(BEGIN)
    if generation is not None:
        await sql.execute(POSITION.format(generation=generation, bits=GENERATION_BITS))
        if generation > 1:
            log.warning("the database was restored or promoted: clients must read feeds from the beginning")


async def settle(sql: asyncpg.Connection) -> None:
    row = await sql.fetchrow(SETTLE)
    if row is not None:
        generation, since = row
        await sql.execute(HORIZON.format(generation=generation, since=since, bits=GENERATION_BITS))
