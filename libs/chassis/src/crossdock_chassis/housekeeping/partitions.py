"""Daily partitions: made ahead of time, and dropped whole. Days and bounds are in UTC.

Writers must not wait for this. So each partition has a unit of its own with a short lock timeout. A long transaction
that reads the table, such as `pg_dump`, makes the unit fail, and the next run tries again.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeAlias

import asyncpg

from crossdock_chassis.database.unit import Unit
from crossdock_chassis.jobs.run import JobRun

log = logging.getLogger(__name__)

Units: TypeAlias = Callable[[], AbstractAsyncContextManager[Unit]]

DAYS_AHEAD: Final = 3
KEPT: Final = timedelta(hours=72)
LOCK_TIMEOUT_MS: Final = 100
"""How long publishers can queue behind a lock that is not granted: less than the lock timeout of a coalescer."""


class NoPartition(Exception):
    """Tomorrow has no partition, because a lock was not granted in days. Its rows will be in the default partition."""


@dataclass(frozen=True, slots=True)
class Daily:
    """A table with a partition for each day of `column`, like `outbox_20261127`, and the default one `outbox_rest`.

    A day is dropped once it ended `kept` ago. It stays while `waits` is true: SQL with the end of the day as `$1`.
    `dropping` runs in the unit that drops a partition, with the partition's name.
    """

    table: str
    column: str
    kept: timedelta
    waits: str = "SELECT $1::timestamptz IS NULL"
    dropping: Callable[[asyncpg.Connection, str], Awaitable[object]] | None = None

    def name(self, day: date) -> str:
        return f"{self.table}_{day:%Y%m%d}"

    def day(self, name: str) -> date:
        return datetime.strptime(name.removeprefix(f"{self.table}_"), "%Y%m%d").date()

    async def names(self, sql: asyncpg.Connection) -> set[str]:
        return {row["relname"] for row in await sql.fetch(NAMES, self.table)}


NAMES: Final = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = $1::text::regclass AND relname ~ ('^' || $1 || '_[0-9]{8}$')
"""

IN_REST: Final = "SELECT EXISTS (SELECT FROM {table}_rest WHERE {column} >= $1 AND {column} < $2)"

UNPUBLISHED: Final = "SELECT EXISTS (SELECT FROM outbox_pending WHERE created_at < $1)"

OUTBOX: Final = Daily("outbox", "created_at", KEPT, UNPUBLISHED)

# CREATE TABLE … PARTITION OF would lock the table against all writers. ATTACH locks only the default partition, which
# has no row of that day.
ATTACH: Final = """
    CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')
"""


async def run_partitions(run: JobRun) -> Mapping[str, object]:
    return await keep_partitions(run.unit)


async def keep_partitions(units: Units, daily: Daily = OUTBOX) -> Mapping[str, object]:
    """Make the partitions of the next days, and drop old ones. Raise NoPartition."""
    async with units() as unit:
        names = await daily.names(unit.sql)
        now = unit.now
    wanted = [now.astimezone(UTC).date() + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    made = [
        daily.name(day) for day in wanted if daily.name(day) not in names and await make_partition(units, daily, day)
    ]
    old = [day for day in sorted(map(daily.day, names)) if _end(day) < now - daily.kept]
    dropped = [daily.name(day) for day in old if await _briefly(units, daily, _drop, day)]
    if daily.name(wanted[1]) not in {*names, *made}:
        raise NoPartition(
            f"{daily.name(wanted[1])} could not be made: end the transactions that read {daily.table} for hours"
        )
    return {"made": made, "dropped": dropped}


async def make_partition(units: Units, daily: Daily, day: date) -> bool:
    """Return whether the partition of a day was made. It is not if another process locks or has made it."""
    try:
        return await _briefly(units, daily, _attach, day)
    except (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
        return False


async def _briefly(
    units: Units, daily: Daily, change: Callable[[asyncpg.Connection, Daily, date], Awaitable[bool]], day: date
) -> bool:
    """Return whether the partition was changed. It is not if its locks are not granted at once."""
    try:
        async with units() as unit:
            await unit.sql.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            return await change(unit.sql, daily, day)
    except asyncpg.LockNotAvailableError:
        log.info("%s waits for the end of a transaction that reads %s", daily.name(day), daily.table)
        return False


async def _attach(sql: asyncpg.Connection, daily: Daily, day: date) -> bool:
    first, end = _start(day), _end(day)
    if await sql.fetchval(IN_REST.format(table=daily.table, column=daily.column), first, end):
        return False
    name = daily.name(day)
    await sql.execute(ATTACH.format(table=daily.table, name=name, first=first.isoformat(), end=end.isoformat()))
    return True


async def _drop(sql: asyncpg.Connection, daily: Daily, day: date) -> bool:
    if await sql.fetchval(daily.waits, _end(day)):
        return False
    if daily.dropping is not None:
        await daily.dropping(sql, daily.name(day))
    await sql.execute(f"DROP TABLE {daily.name(day)}")
    return True


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _end(day: date) -> datetime:
    return _start(day + timedelta(days=1))
