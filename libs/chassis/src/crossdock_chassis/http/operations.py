"""The state of a service from its own database: outbox, consumer groups, jobs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from crossdock_chassis.database.outbox import MEASURE
from crossdock_chassis.database.unit import Database
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import OpsReader
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.jobs.resolve import find_standing
from crossdock_chassis.jobs.rows import Status
from crossdock_chassis.messaging.operations import GroupState, groups_of
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_chassis.messaging.relay import LEASED


class OutboxState(BaseModel):
    depth: Annotated[int, Field(description="Messages that Kafka has not acknowledged, counted up to above `limit`")]
    age_seconds: Annotated[float, Field(description="The age of the oldest of them; 0 without any")]
    limit: Annotated[int, Field(description="The API answers 503 to commands above this depth")]
    relay_runs: Annotated[bool, Field(description="Whether a worker holds the lease to send messages")]


class JobState(BaseModel):
    """A periodic job, or work that waits or runs. `/v1/jobs/{id}` has the rest."""

    id: UUID
    kind: str
    status: Status
    every_seconds: float | None = Field(description="The period; null for work that somebody asked for")
    last_run: datetime | None = Field(description="The start of the last run; of work, the start of its first run")
    next_run: datetime | None
    seconds: float | None = Field(description="The duration of the last run")
    done: int
    total: int | None
    failures: int = Field(description="Failed runs since the last progress")
    error: str | None = Field(description="Why the last failed run failed, also if later runs succeeded")
    failed_at: datetime | None


class OperationsState(BaseModel):
    service: str
    at: datetime
    outbox: OutboxState
    groups: list[GroupState]
    jobs: list[JobState] = Field(description="At most 200: periodic jobs, then the oldest work that waits or runs")


@dataclass(frozen=True, slots=True)
class Operations:
    """`live` returns the groups that this version runs."""

    service: str
    database: Database
    live: Callable[[], Awaitable[Sequence[Subscription]]]

    async def state(self) -> OperationsState:
        """Return what the service's own database has."""
        live = await self.live()
        limit = self.database.pressure.outbox_limit
        async with self.database.unit() as unit:
            outbox = await unit.sql.fetchrow(MEASURE, limit + 1)
            runs = await unit.sql.fetchval(LEASED)
            groups = await groups_of(unit.sql, unit.now, live)
            jobs = await find_standing(unit.sql)
        return OperationsState(
            service=self.service,
            at=unit.now,
            outbox=OutboxState(depth=outbox["depth"], age_seconds=outbox["age"], limit=limit, relay_runs=runs),
            groups=groups,
            jobs=[
                JobState(last_run=each.started_at, **each.model_dump(include=set(JobState.model_fields) - {"last_run"}))
                for each in jobs
            ],
        )


OperationsDep = Annotated[Operations, provided(Operations)]
router = APIRouter(prefix="/v1/operations", tags=["operations"])


def feature(service: str, database: Database, live: Callable[[], Awaitable[Sequence[Subscription]]]) -> Feature:
    return Feature(routers=[router], provides=[Operations(service, database, live)])


@router.get("", summary="Show outbox, consumer groups and jobs")
async def get_operations(caller: OpsReader, of: OperationsDep) -> OperationsState:
    """Return what the service's own database has, also while its worker or Kafka is away.

    Null means unknown, and 0 means none. A group whose consumer is dead keeps its last figures: see `seen_at`.
    """
    return await of.state()
