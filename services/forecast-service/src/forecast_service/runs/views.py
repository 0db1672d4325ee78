"""What clients see of runs, and the queries behind it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis import Cursor, Page
from forecast_service.places import SeriesLevel
from forecast_service.runs.model import NoSuchRun, State

RUNS: Final[Cursor[UUID]] = Cursor("runs", UUID)

# The rate is that of the chunks that ended in the last five minutes, or of the last five minutes of an ended run.
SHOW: Final = """
    SELECT runs.*, chunks.*, failures.*, coalesce(runs.ended_at, now()) AS at
    FROM runs CROSS JOIN LATERAL (
        SELECT coalesce(sum(cardinality(series)) FILTER (WHERE final), 0)::bigint AS series,
               coalesce(sum(cardinality(series)) FILTER (WHERE final AND state = 'done'), 0)::bigint AS full_,
               coalesce(sum(cardinality(series)) FILTER (WHERE level = 'refit'), 0)::bigint AS refitted,
               coalesce(sum(cardinality(series)) FILTER (WHERE level = 'cheap' AND state = 'done'), 0)::bigint AS cheap,
               coalesce(sum(cardinality(series)) FILTER (WHERE state = 'skipped'), 0)::bigint AS skipped,
               (sum(cardinality(series)) FILTER (WHERE recent) / greatest(0.001, extract(
                   epoch FROM coalesce(runs.ended_at, now()) - min(started_at) FILTER (WHERE recent)
               )))::float8 AS rate
        FROM (
            SELECT *, level IN ('refit', 'full') AS final,
                   state = 'done' AND ended_at > coalesce(runs.ended_at, now()) - interval '5 minutes'
                   AND level <> 'reconcile' AS recent
            FROM run_chunks WHERE run_id = runs.id
        ) AS chunk
    ) AS chunks CROSS JOIN LATERAL (
        SELECT coalesce(sum(count), 0)::bigint AS failed,
               coalesce(json_agg(json_build_object('reason', reason, 'series', count)), '[]')::text AS reasons
        FROM (
            SELECT reason, count(*) AS count FROM run_failures WHERE run_id = runs.id
            GROUP BY reason ORDER BY count(*) DESC, reason
        ) AS by_reason
    ) AS failures
"""


class FailureOfRun(BaseModel):
    reason: str
    series: int


class RunView(BaseModel):
    """A run and its progress. A series is done if it has the last forecast that the run makes of it."""

    id: UUID
    state: State
    origin: Annotated[date, Field(description="The first day of the forecasts; demand before it was known")]
    horizon: Annotated[int, Field(description="Days")]
    item_prefix: str | None
    category: str | None
    levels: Annotated[list[SeriesLevel], Field(description="Series of whole items, of locations, of regions")]
    series_ids: Annotated[list[UUID] | None, Field(description="The series that were asked for; null means all")]
    reselect: bool
    series: int
    refitted: Annotated[int, Field(description="Series whose chosen models are fitted again, without a new choice")]
    done: int
    left: int
    cheap: Annotated[
        int,
        Field(description="Series that have only a cheap model: for now, or for good because the deadline came first"),
    ]
    failed: Annotated[int, Field(description="Series that got the fallback, or kept their cheap model, for a reason")]
    failures: list[FailureOfRun]
    rate: Annotated[float | None, Field(description="Forecasts a second, in the last five minutes")]
    estimated_end: datetime | None
    deadline_at: datetime | None
    requested_by: str
    requested_at: datetime
    ended_at: datetime | None

    @property
    def path(self) -> str:
        return f"/v1/runs/{self.id}"


async def get(sql: asyncpg.Connection, id: UUID) -> RunView:
    """Return a run. Raise NoSuchRun."""
    row = await sql.fetchrow(f"{SHOW} WHERE runs.id = $1", id)
    if row is None:
        raise NoSuchRun(id)
    return _view(row)


async def page(sql: asyncpg.Connection, before: UUID | None, limit: int) -> Page[RunView]:
    """Return a page of runs, the newest first."""
    which = "WHERE $1::uuid IS NULL OR runs.id < $1 ORDER BY runs.id DESC LIMIT $2"
    rows = await sql.fetch(f"{SHOW} {which}", before, limit + 1)
    found: Sequence[RunView] = [_view(row) for row in rows[:limit]]
    return Page(items=list(found), next=RUNS.encode(found[-1].id) if len(rows) > limit else None)


def _view(row: Any) -> RunView:
    left = row["series"] - row["full_"] - row["skipped"]
    going = row["state"] == "running"
    # Before the first full choice, the series that still need a cheap model take time too.
    work = left + (row["series"] - row["cheap"] if row["deadline_at"] is not None else 0)
    end = row["at"] + timedelta(seconds=work / row["rate"]) if going and row["rate"] else None
    if end is not None and row["deadline_at"] is not None:
        end = min(end, max(row["at"], row["deadline_at"]))
    return RunView(
        id=row["id"],
        state=row["state"],
        origin=row["origin"],
        horizon=row["horizon"],
        item_prefix=row["item_prefix"],
        category=row["category"],
        levels=row["levels"],
        series_ids=row["chosen"],
        reselect=row["reselect"],
        series=row["series"],
        refitted=row["refitted"],
        done=row["full_"] + row["skipped"],
        left=left,
        cheap=max(0, row["cheap"] - row["full_"]),
        failed=row["failed"],
        failures=[FailureOfRun(**each) for each in from_json(row["reasons"])],
        rate=row["rate"] and round(row["rate"], 3),
        estimated_end=end,
        deadline_at=row["deadline_at"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        ended_at=row["ended_at"],
    )
