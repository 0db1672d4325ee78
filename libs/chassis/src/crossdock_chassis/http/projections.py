"""Projections and retired consumer groups over HTTP, in every service that consumes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.actions import record_action
from crossdock_chassis.database.unit import Database
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import json_response
from crossdock_chassis.http.dead_letters import Reason
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.jobs.resolve import StoredJob, find_jobs
from crossdock_chassis.problems import Problem
from crossdock_chassis.projections import generations, retired
from crossdock_chassis.projections.rebuild import Rebuild
from crossdock_chassis.projections.retired import Clearing, GroupInUse, MembersUnknown, NoSuchGroup, RetiredGroup

GENERATIONS: Final = """
    SELECT projection.name, generation, version, projection.state, consumer_group, created_at, current_since, job_id,
           job.status AS job_status, job.done, job.total, job.state::text AS progress
    FROM projection LEFT JOIN job ON job.id = projection.job_id
    ORDER BY projection.name, generation
"""


class NoSuchProjection(Exception):
    problem = Problem(404, "no-such-projection", "The service has no projection of this name")


class StoredGeneration(BaseModel):
    """One generation of a projection. Readers see the one in state `current`."""

    generation: int
    version: int = Field(description="The version of the projection whose workers build it")
    state: Literal["building", "current", "retired"]
    group: str = Field(description="Its consumer group")
    created_at: datetime
    current_since: datetime | None
    job_id: UUID | None = Field(description="The job that builds it; stop the job to give the generation up")
    job_status: str | None
    done: int | None = Field(description="Records that were read, while it is building")
    total: int | None = Field(description="Records on its topics, while it is building")
    seconds_left: float | None = Field(description="Until it has caught up, at the present rate")
    waits: str | None = Field(description="Why a generation that has caught up is not current yet")


class StoredProjection(BaseModel):
    """Tables that are built from events alone, and their generations."""

    name: str
    version: int = Field(description="The version that this service has. Raising it rebuilds the projection")
    generations: list[StoredGeneration]


class ProjectionList(BaseModel):
    items: list[StoredProjection]


class RetiredGroupList(BaseModel):
    items: list[RetiredGroup]


@dataclass(frozen=True, slots=True)
class StoredProjections:
    """The projections of the service, and the consumer groups of its reactions."""

    database: Database
    kafka: Broker
    rebuilds: Mapping[str, Rebuild]
    groups: Collection[str]


ProjectionsDep = Annotated[StoredProjections, provided(StoredProjections)]
ClearDryRun = Annotated[bool, Query(description="Answer what would be deleted, and delete nothing")]
router = APIRouter(prefix="/v1/projections", tags=["operations"])
groups_router = APIRouter(prefix="/v1/retired-groups", tags=["operations"])


def feature(database: Database, kafka: Broker, rebuilds: Sequence[Rebuild], groups: Collection[str]) -> Feature:
    by_name = {each.projection.name: each for each in rebuilds}
    return Feature(routers=[router, groups_router], provides=[StoredProjections(database, kafka, by_name, groups)])


@router.get("", summary="List the projections with their generations and the progress of rebuilds")
async def get_projections(caller: OpsReader, projections: ProjectionsDep) -> ProjectionList:
    async with projections.database.unit() as unit:
        rows = await unit.sql.fetch(GENERATIONS)
    return ProjectionList(
        items=[
            StoredProjection(
                name=name,
                version=rebuild.projection.version,
                generations=[_stored(row) for row in rows if row["name"] == name],
            )
            for name, rebuild in sorted(projections.rebuilds.items())
        ]
    )


@router.post(
    "/{name}:rebuild",
    status_code=202,
    summary="Build a projection anew beside the current one; readers see it when it has caught up",
    response_model=StoredJob,
    responses=errors(NoSuchProjection.problem),
)
async def rebuild(name: str, caller: Operator, projections: ProjectionsDep, body: Reason | None = None) -> Response:
    if (found := projections.rebuilds.get(name)) is None:
        raise NoSuchProjection(f"The service has: {', '.join(sorted(projections.rebuilds)) or 'none'}")
    async with projections.database.unit() as unit:
        was = await generations.find(unit.sql, found.projection, "building")
        id = await found.begin(unit, by=caller.who)
        if was is None or was.job_id != id:
            why = None if body is None else body.reason
            target, before = f"/v1/projections/{name}", None if was is None else {"job": was.job_id}
            await record_action(
                unit, caller.actor, "projection:rebuild", target, why=why, before=before, after={"job": id}
            )
    (job,) = await find_jobs(projections.database, id=id)
    return json_response(job, 202, location=f"/v1/jobs/{id}")


@groups_router.get("", summary="List consumer groups that this version of the service no longer has")
async def get_retired_groups(caller: OpsReader, projections: ProjectionsDep) -> RetiredGroupList:
    async with projections.database.unit() as unit:
        return RetiredGroupList(items=await retired.retired_groups(unit.sql, projections.groups))


@groups_router.post(
    "/{group}:clear",
    status_code=202,
    summary="Delete the positions, heads and dead letters of a retired consumer group",
    responses=errors(NoSuchGroup.problem, GroupInUse.problem, MembersUnknown.problem),
)
async def clear_retired_group(
    group: str, body: Reason, caller: Operator, projections: ProjectionsDep, dry_run: ClearDryRun = False
) -> Clearing:
    async with projections.database.unit() as unit:
        found = await retired.retired_group(unit.sql, projections.groups, group)
    await retired.check_unused(projections.kafka, group)
    if dry_run:
        return Clearing(cleared=found, job_id=None)
    async with projections.database.unit() as unit:
        id = await retired.CLEAR.request(unit, {"group": group, "reason": body.reason}, by=caller.who)
        await record_action(
            unit,
            caller.actor,
            "retired-group:clear",
            f"/v1/retired-groups/{group}",
            why=body.reason,
            before=found.model_dump(),
            after={"job": id},
        )
    return Clearing(cleared=found, job_id=id)


def _stored(row: asyncpg.Record) -> StoredGeneration:
    building = row["state"] == "building" and row["job_status"] is not None
    progress: Mapping[str, Any] = from_json(row["progress"] or "{}")
    rate, left = progress.get("rate") or 0.0, (row["total"] or 0) - (row["done"] or 0)
    return StoredGeneration(
        generation=row["generation"],
        version=row["version"],
        state=row["state"],
        group=row["consumer_group"],
        created_at=row["created_at"],
        current_since=row["current_since"],
        job_id=row["job_id"],
        job_status=row["job_status"],
        done=row["done"] if building else None,
        total=row["total"] if building else None,
        seconds_left=left / rate if building and rate else None,
        waits=progress.get("waits") if building else None,
    )
