"""Show jobs; stop and resume work that somebody asked for."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.jobs.rows import WAKE, Status
from crossdock_chassis.problems import Problem

log = logging.getLogger(__name__)

COLUMNS: Final = """
    id, kind, every_seconds, status, due_at, leased_by, arguments::text, requested_by, requested_at, stop_requested_by,
    stop_requested_at, started_at, finished_at, seconds, done, total, result::text, failures, error, failed_at,
    resumed_by, resumed_at
"""

STOP: Final = f"""
    UPDATE job
    SET stop_requested_by = coalesce(stop_requested_by, $2), stop_requested_at = coalesce(stop_requested_at, now()),
        status = CASE WHEN status = 'queued' THEN 'stopped' ELSE status END,
        finished_at = CASE WHEN status = 'queued' THEN now() ELSE finished_at END
    WHERE id = $1
    RETURNING {COLUMNS}
"""

RESUME: Final = f"""
    UPDATE job
    SET status = 'queued', due_at = now(), finished_at = NULL, failures = 0, stop_requested_by = NULL,
        stop_requested_at = NULL, resumed_by = $2, resumed_at = now()
    WHERE id = $1
    RETURNING {COLUMNS}
"""


STANDING: Final = f"""
    SELECT {COLUMNS} FROM job WHERE every_seconds IS NOT NULL OR status IN ('queued', 'running')
    ORDER BY every_seconds IS NULL, CASE WHEN every_seconds IS NOT NULL THEN kind END, id LIMIT $1
"""


class NoSuchJob(Exception):
    problem = Problem(404, "no-such-job", "No such job")


class NotStoppable(Exception):
    """The job runs periodically, or has ended."""

    problem = Problem(409, "job-not-stoppable", "Only a queued or running job that somebody asked for can be stopped")


class NotResumable(Exception):
    """The job runs periodically, has not ended, or is done."""

    problem = Problem(409, "job-not-resumable", "Only a stopped or failed job that somebody asked for can be resumed")


class StoredJob(BaseModel):
    """A job: a periodic one, or work that somebody asked for."""

    id: UUID
    kind: str
    status: Status
    every_seconds: float | None = Field(description="The period; null for work that somebody asked for")
    arguments: dict[str, Any]
    requested_by: str | None
    requested_at: datetime
    next_run: datetime | None = Field(description="Null while the job runs and after it has ended")
    leased_by: str | None = Field(description="The worker process that runs the job")
    leased_until: datetime | None = Field(description="Another worker then takes over, unless the lease is extended")
    started_at: datetime | None = Field(description="The start of the last run; of work, the start of its first run")
    finished_at: datetime | None
    seconds: float | None = Field(description="The duration of the last run")
    done: int
    total: int | None
    result: dict[str, Any] | None = Field(description="The result of the last successful run")
    failures: int = Field(description="Failed runs since the last progress")
    error: str | None = Field(description="Why the last failed run failed, also if later runs succeeded")
    failed_at: datetime | None
    stop_requested_by: str | None
    stop_requested_at: datetime | None
    resumed_by: str | None
    resumed_at: datetime | None


async def find_jobs(
    database: Database,
    *,
    id: UUID | None = None,
    kind: str | None = None,
    status: Status | None = None,
    after: UUID | None = None,
    limit: int = 200,
) -> list[StoredJob]:
    """Return jobs in the order of their ids, which is roughly the order of their requests."""
    conditions, arguments = ["true"], list[object]()
    for condition, value in (("id =", id), ("kind =", kind), ("status =", status), ("id >", after)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    async with database.unit() as unit:
        found = await unit.sql.fetch(
            f"SELECT {COLUMNS} FROM job WHERE {' AND '.join(conditions)} ORDER BY id LIMIT {limit:d}", *arguments
        )
    return [_stored(row) for row in found]


async def find_standing(sql: asyncpg.Connection, limit: int = 200) -> list[StoredJob]:
    """Return the periodic jobs by kind, then the work that waits or runs, the oldest first."""
    return [_stored(row) for row in await sql.fetch(STANDING, limit)]


async def show_job(unit: Unit, id: UUID) -> StoredJob:
    """Return a job as the unit sees it. Raise NoSuchJob."""
    row = await unit.sql.fetchrow(f"SELECT {COLUMNS} FROM job WHERE id = $1", id)
    if row is None:
        raise NoSuchJob(str(id))
    return _stored(row)


async def stop_job(unit: Unit, id: UUID, *, by: str) -> StoredJob:
    """Stop a queued job now, and a running one at the end of its unit. Raise NoSuchJob, NotStoppable.

    The units that are committed stay. Stopping a stopped job again changes nothing.
    """
    status = await _lock(unit, id)
    if status in ("done", "failed", "periodic"):
        raise NotStoppable(f"it is {status}")
    return _stored(await unit.sql.fetchrow(STOP, id, by))


async def resume_job(unit: Unit, id: UUID, *, by: str) -> StoredJob:
    """Queue a stopped or failed job again: it goes on after its last committed unit. Raise NoSuchJob, NotResumable."""
    status = await _lock(unit, id)
    if status not in ("stopped", "failed"):
        raise NotResumable(f"it is {status}")
    job = _stored(await unit.sql.fetchrow(RESUME, id, by))
    await unit.sql.execute(WAKE, "")
    log.info("%s is resumed", job.kind, extra={"job": str(id), "by": by, "was": status})
    return job


async def _lock(unit: Unit, id: UUID) -> str:
    """Lock a job. Return its status, or `periodic`. Raise NoSuchJob."""
    row = await unit.sql.fetchrow("SELECT status, every_seconds FROM job WHERE id = $1 FOR UPDATE", id)
    if row is None:
        raise NoSuchJob(str(id))
    return "periodic" if row["every_seconds"] is not None else str(row["status"])


def _stored(row: asyncpg.Record) -> StoredJob:
    values: Mapping[str, Any] = {
        **row,
        "arguments": from_json(row["arguments"]),
        "result": None if row["result"] is None else from_json(row["result"]),
        "next_run": row["due_at"] if row["status"] == "queued" else None,
        "leased_until": row["due_at"] if row["status"] == "running" else None,
    }
    return StoredJob(**values)
