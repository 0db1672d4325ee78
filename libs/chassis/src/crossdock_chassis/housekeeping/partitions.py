"""The daily partitions of the outbox: made ahead of time, and dropped whole. Days and bounds are in UTC.

Publishing must not wait for this. So each partition has a unit of its own with a short lock timeout. A long transaction
that reads the outbox, such as `pg_dump`, makes the unit fail, and the next run tries again.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
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

NAMES: Final = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'outbox'::regclass AND relname ~ '^outbox_[0-9]{8}$'
"""

IN_REST: Final = "SELECT EXISTS (SELECT FROM outbox_rest WHERE created_at >= $1 AND created_at < $2)"

UNPUBLISHED: Final = "SELECT EXISTS (SELECT FROM outbox_pending WHERE created_at < $1)"

# CREATE TABLE … PARTITION OF would lock the outbox against all publishers. ATTACH locks only `outbox_rest`, which has
# no row of that day.
ATTACH: Final = """
    CREATE TABLE {name} (LIKE outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE outbox ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')
"""


class NoPartition(Exception):
    """Tomorrow has no partition, because a lock was not granted in days. Its messages will be in `outbox_rest`."""


async def run_partitions(run: JobRun) -> Mapping[str, object]:
    return await keep_partitions(run.unit)


async def keep_partitions(units: Units) -> Mapping[str, object]:
    """Make the partitions of the next days, and drop old ones that are published. Raise NoPartition."""
    async with units() as unit:
        names = {row["relname"] for row in await unit.sql.fetch(NAMES)}
        now = unit.now
    wanted = [now.astimezone(UTC).date() + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    made = [_name(day) for day in wanted if _name(day) not in names and await _briefly(units, _attach, day)]
    old = [day for day in sorted(map(_day, names)) if _end(day) < now - KEPT]
    dropped = [_name(day) for day in old if await _briefly(units, _drop, day)]
    if _name(wanted[1]) not in {*names, *made}:
        raise NoPartition(f"{_name(wanted[1])} could not be made: end the transactions that read the outbox for hours")
    return {"made": made, "dropped": dropped}


async def _briefly(units: Units, change: Callable[[asyncpg.Connection, date], Awaitable[bool]], day: date) -> bool:
    """Return whether the partition was changed. It is not if its locks are not granted at once."""
    try:
        async with units() as unit:
            await unit.sql.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            return await change(unit.sql, day)
    except asyncpg.LockNotAvailableError:
        log.info("%s waits for the end of a transaction that reads the outbox", _name(day))
        return False


async def _attach(sql: asyncpg.Connection, day: date) -> bool:
    first, end = _start(day), _end(day)
    if await sql.fetchval(IN_REST, first, end):
        return False
    await sql.execute(ATTACH.format(name=_name(day), first=first.isoformat(), end=end.isoformat()))
    return True


async def _drop(sql: asyncpg.Connection, day: date) -> bool:
    if await sql.fetchval(UNPUBLISHED, _end(day)):
        return False
    await sql.execute(f"DROP TABLE {_name(day)}")
    return True


def _name(day: date) -> str:
    return f"outbox_{day:%Y%m%d}"


def _day(name: str) -> date:
    return date.fromisoformat(name.removeprefix("outbox_"))


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _end(day: date) -> datetime:
    return _start(day + timedelta(days=1))
