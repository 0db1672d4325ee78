"""Request that the forecasts of a run are reconciled, once they are all made."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from crossdock_chassis import Actor, Unit, record_action
from forecast_service.runs import store, views
from forecast_service.runs.model import AnotherRun, Chunk, NoSuchRun, RunForgotten, RunNotWhole
from forecast_service.runs.views import RunView

RUN: Final = "SELECT state, origin, scope, item_prefix, chosen FROM runs WHERE id = $1 FOR UPDATE"
CHUNKS: Final = "SELECT max(number) AS last, bool_or(level = 'reconcile') AS before FROM run_chunks WHERE run_id = $1"

PLACES: Final = """
    SELECT array_agg(series.id ORDER BY series.id) AS ids
    FROM run_chunks CROSS JOIN unnest(run_chunks.series) AS each JOIN series ON series.id = each
    WHERE run_id = $1 AND level IN ('refit', 'full')
    GROUP BY location_id, region ORDER BY location_id <> '' OR region <> '', location_id, region
"""

KEPT: Final = """
    SELECT bool_and(EXISTS (SELECT FROM forecasts WHERE series_id = each AND origin = $2 AND run_id = $1))
    FROM run_chunks CROSS JOIN unnest(series) AS each WHERE run_id = $1 AND level IN ('refit', 'full')
"""

REOPEN: Final = """
    UPDATE runs SET open = open + $2, state = CASE state WHEN 'done' THEN 'running' ELSE state END,
                    ended_at = CASE state WHEN 'done' THEN NULL ELSE ended_at END
    WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class ReconcileRun:
    id: UUID
    by: Actor


async def reconcile_run(unit: Unit, command: ReconcileRun) -> RunView:
    """Add a chunk for each place of the run. A run that has them stays as it is.

    Raise NoSuchRun, RunNotWhole, RunForgotten, or AnotherRun if another run of its series is running.
    """
    run = await unit.sql.fetchrow(RUN, command.id)
    if run is None:
        raise NoSuchRun(command.id)
    if run["item_prefix"] is not None or run["chosen"] is not None:
        raise RunNotWhole(command.id)
    chunks = await unit.sql.fetchrow(CHUNKS, command.id)
    if chunks["before"]:
        return await views.get(unit.sql, command.id)
    if run["state"] == "done" and not await unit.sql.fetchval(KEPT, command.id, run["origin"]):
        raise RunForgotten(command.id)
    places = [row["ids"] for row in await unit.sql.fetch(PLACES, command.id)]
    new = [Chunk(number, "reconcile", ids) for number, ids in enumerate(places, start=chunks["last"] + 1)]
    try:
        async with unit.savepoint():
            await unit.sql.execute(REOPEN, command.id, len(new))
    except asyncpg.UniqueViolationError:
        raise AnotherRun(await unit.sql.fetchval(store.RUNNING, run["origin"], run["scope"])) from None
    await store.insert_chunks(unit, command.id, new)
    await record_action(unit, command.by, "run:reconcile", f"/v1/runs/{command.id}")
    return await views.get(unit.sql, command.id)
