"""Keep the log for 30 days of Kafka's time: days are dropped whole."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import asyncpg

from crossdock_chassis import Daily, JobRun, keep_partitions

KEPT: Final = timedelta(days=30)

FORGET: Final = """
    UPDATE log_head SET forgotten = greatest(forgotten, (SELECT coalesce(max(position), 0) FROM {name}))
"""

FORGET_REST: Final = """
    WITH gone AS (DELETE FROM log_rest WHERE kafka_time < $1 RETURNING position)
    UPDATE log_head SET forgotten = greatest(forgotten, (SELECT coalesce(max(position), 0) FROM gone))
    WHERE EXISTS (SELECT FROM gone)
"""

ARRIVALS: Final = "DELETE FROM log_arrival WHERE at < $1"


async def _forget(sql: asyncpg.Connection, name: str) -> None:
    """Remember that positions are gone, so that an old cursor is refused and never skips them silently."""
    await sql.execute(FORGET.format(name=name))


LOG: Final = Daily("log", "kafka_time", KEPT, dropping=_forget)


async def keep_log_partitions(run: JobRun) -> Mapping[str, object]:
    """Make the partitions of the next days, and drop the days and rows that are older than 30 days."""
    async with run.unit() as unit:
        await unit.sql.execute(FORGET_REST, unit.now - KEPT)
        await unit.sql.execute(ARRIVALS, unit.now - KEPT - timedelta(days=1))
    return await keep_partitions(run.unit, LOG)
