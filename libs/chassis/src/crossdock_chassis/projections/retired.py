"""Drop retired generations, and clear consumer groups that no version of the service has any more."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis.broker import Broker
from crossdock_chassis.jobs.declare import Result, queued
from crossdock_chassis.jobs.run import JobRun
from crossdock_chassis.messaging import clients
from crossdock_chassis.problems import Problem

CHUNK: Final = 5_000

TABLES: Final = (
    "projection_head",
    "dead_letter",
    "parked_key",
    "consumer_stop",
    "consumer_progress",
    "consumer_position",
)

# A generation whose job was stopped or has failed will never be current.
ABANDON: Final = """
    UPDATE projection SET state = 'retired' FROM job
    WHERE job.id = projection.job_id AND projection.state = 'building' AND job.status IN ('stopped', 'failed')
"""

RETIRED: Final = "SELECT generation, name, consumer_group FROM projection WHERE state = 'retired' ORDER BY generation"

# Batches that began before the generation was retired hold its row.
WAIT: Final = "SELECT FROM projection WHERE generation = $1 FOR UPDATE"

DELETE: Final = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE consumer_group = $1 LIMIT $2
    ))
"""

# Each step finds the next group by the index, because a table may have millions of rows of one group.
GROUPS: Final = " UNION ".join(
    f"""
    SELECT consumer_group FROM (
        WITH RECURSIVE found AS (
            (SELECT consumer_group FROM {table} ORDER BY consumer_group LIMIT 1)
            UNION ALL
            SELECT (SELECT consumer_group FROM {table} AS next WHERE next.consumer_group > found.consumer_group
                    ORDER BY consumer_group LIMIT 1)
            FROM found WHERE found.consumer_group IS NOT NULL
        )
        SELECT consumer_group FROM found WHERE consumer_group IS NOT NULL
    ) AS {table}
    """
    for table in TABLES
)

ORPHANS: Final = f"""
    SELECT consumer_group FROM ({GROUPS}) AS every
    WHERE consumer_group <> ALL ($1::text[])
      AND NOT EXISTS (SELECT FROM projection WHERE projection.consumer_group = every.consumer_group)
    ORDER BY consumer_group COLLATE "C"
"""

COUNTS: Final = ", ".join(
    f"(SELECT count(*) FROM {table} WHERE consumer_group = $1{' AND state IN ' + states if states else ''}) AS {name}"
    for name, table, states in (
        ("positions", "consumer_position", ""),
        ("heads", "projection_head", ""),
        ("letters", "dead_letter", ""),
        ("open_letters", "dead_letter", "('poison', 'parked', 'blocked')"),
        ("parked_keys", "parked_key", ""),
    )
)


class NoSuchGroup(Exception):
    problem = Problem(404, "no-such-retired-group", "No retired consumer group has this name")


class GroupInUse(Exception):
    problem = Problem(409, "group-in-use", "A running process is still in the consumer group: stop it first")


class MembersUnknown(Exception):
    problem = Problem(
        503,
        "group-members-unknown",
        "Kafka does not answer, so a running process may still be in the group: try again later",
        {"Retry-After": "5"},
    )


class RetiredGroup(BaseModel):
    """A consumer group with rows in the database that this version of the service does not have."""

    group: str
    positions: int
    heads: int
    letters: int
    open_letters: int = Field(
        description="Dead letters that nobody has resolved. They are lost when the group is cleared"
    )
    parked_keys: int


class Clearing(BaseModel):
    """The group that is cleared, and the job that clears it: null in a dry run."""

    cleared: RetiredGroup
    job_id: UUID | None


async def drop_retired(run: JobRun) -> Mapping[str, object]:
    """Drop the schemas and rows of retired generations. Batches that still write to one are waited for."""
    async with run.unit() as unit:
        await unit.sql.execute(ABANDON)
        retired = await unit.sql.fetch(RETIRED)
    for row in retired:
        async with run.unit() as unit:
            await unit.sql.execute(WAIT, row["generation"])
            await unit.sql.execute(f'DROP SCHEMA IF EXISTS "{row["name"]}_g{row["generation"]}" CASCADE')
        await clear_group(run, row["consumer_group"])
        async with run.unit() as unit:
            await unit.sql.execute("DELETE FROM projection WHERE generation = $1", row["generation"])
    return {"dropped": [row["consumer_group"] for row in retired]}


async def clear_group(run: JobRun, group: str) -> None:
    """Delete all rows of a consumer group, in small units. Its positions go last."""
    for table in TABLES:
        while True:
            async with run.unit() as unit:
                await unit.sql.execute("SET LOCAL enable_seqscan = off")
                deleted = int((await unit.sql.execute(DELETE.format(table=table), group, CHUNK)).split()[1])
                run.done += deleted
            if deleted < CHUNK:
                break


async def _clear(run: JobRun) -> Result:
    await clear_group(run, run.arguments["group"])
    return {"deleted": run.done}


CLEAR: Final = queued("clear-retired-group", _clear)


async def retired_groups(sql: asyncpg.Connection, present: Collection[str]) -> list[RetiredGroup]:
    """Return the groups with rows that are neither in `present` nor of a generation of a projection."""
    groups = [row["consumer_group"] for row in await sql.fetch(ORPHANS, [*present])]
    return [await _counted(sql, group) for group in groups]


async def retired_group(sql: asyncpg.Connection, present: Collection[str], group: str) -> RetiredGroup:
    """Return one group. Raise NoSuchGroup if the service has the group, or if the group has no rows."""
    if group not in {row["consumer_group"] for row in await sql.fetch(ORPHANS, [*present])}:
        raise NoSuchGroup(group)
    return await _counted(sql, group)


async def check_unused(kafka: Broker, group: str) -> None:
    """Raise GroupInUse if a process of another version runs the group, MembersUnknown if Kafka does not answer."""
    try:
        members = await clients.members_of(kafka, group)
    except clients.KAFKA_TROUBLE as error:
        raise MembersUnknown(f"{type(error).__name__}: {error}") from error
    if members:
        raise GroupInUse(f"{group} has {members} members")


async def _counted(sql: asyncpg.Connection, group: str) -> RetiredGroup:
    return RetiredGroup(group=group, **dict(await sql.fetchrow(f"SELECT {COUNTS}", group)))
