"""Jobs over HTTP, in every service."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from crossdock_chassis.database.actions import record_action
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit
from crossdock_chassis.http.dead_letters import Reason
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.http.request import Caller
from crossdock_chassis.jobs.resolve import (
    NoSuchJob,
    NotResumable,
    NotStoppable,
    StoredJob,
    find_jobs,
    resume_job,
    show_job,
    stop_job,
)
from crossdock_chassis.jobs.rows import Status

LIST = Cursor("jobs", UUID)


@dataclass(frozen=True, slots=True)
class StoredJobs:
    database: Database


StoredJobsDep = Annotated[StoredJobs, provided(StoredJobs)]
router = APIRouter(prefix="/v1/jobs", tags=["operations"])


def feature(database: Database) -> Feature:
    return Feature(routers=[router], provides=[StoredJobs(database)])


@router.get("", summary="List periodic jobs, and long work that somebody asked for")
async def get_jobs(
    caller: OpsReader,
    jobs: StoredJobsDep,
    kind: Annotated[str | None, Query(pattern=r"^[\x20-\x7e]+$", max_length=255)] = None,
    status: Status | None = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[StoredJob]:
    found = await find_jobs(jobs.database, kind=kind, status=status, after=LIST.decode(cursor), limit=limit + 1)
    page = found[:limit]
    return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)


@router.get("/{id}", summary="Show a job and its progress", responses=errors(NoSuchJob.problem))
async def get_job(id: UUID, caller: OpsReader, jobs: StoredJobsDep) -> StoredJob:
    found = await find_jobs(jobs.database, id=id)
    if not found:
        raise NoSuchJob(str(id))
    return found[0]


@router.post(
    "/{id}:stop",
    summary="Stop work that somebody asked for; committed units stay",
    responses=errors(NoSuchJob.problem, NotStoppable.problem),
)
async def stop(id: UUID, caller: Operator, jobs: StoredJobsDep, body: Reason | None = None) -> StoredJob:
    async with jobs.database.unit() as unit:
        was = await show_job(unit, id)
        return await _acted(unit, caller, "stop", body, was, await stop_job(unit, id, by=caller.who))


@router.post(
    "/{id}:resume",
    summary="Go on with stopped or failed work, after its last committed unit",
    responses=errors(NoSuchJob.problem, NotResumable.problem),
)
async def resume(id: UUID, caller: Operator, jobs: StoredJobsDep, body: Reason | None = None) -> StoredJob:
    async with jobs.database.unit() as unit:
        was = await show_job(unit, id)
        return await _acted(unit, caller, "resume", body, was, await resume_job(unit, id, by=caller.who))


async def _acted(
    unit: Unit, caller: Caller, action: str, body: Reason | None, was: StoredJob, job: StoredJob
) -> StoredJob:
    """Record what an operator has done, unless it changed nothing. Return the job after it."""
    shown = {"status", "done", "stop_requested_at", "resumed_at", "error"}
    before, after = was.model_dump(include=shown), job.model_dump(include=shown)
    if before != after:
        why = None if body is None else body.reason
        target = f"/v1/jobs/{job.id}"
        await record_action(unit, caller.actor, f"job:{action}", target, why=why, before=before, after=after)
    return job
