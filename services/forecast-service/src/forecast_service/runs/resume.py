"""Resume a cancelled run. Chunks that are finished are not computed again."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from crossdock_chassis import Actor, Unit, record_action
from forecast_service.runs import store, views
from forecast_service.runs.model import AnotherRun, NoSuchRun, RunEnded
from forecast_service.runs.views import RunView


@dataclass(frozen=True, slots=True)
class ResumeRun:
    id: UUID
    by: Actor


async def resume_run(unit: Unit, command: ResumeRun) -> RunView:
    """Return the run. A running one stays as it is.

    Raise NoSuchRun, RunEnded if it is done, or AnotherRun if another run of its series is running.
    """
    found = await unit.sql.fetchrow(store.LOCK, command.id)
    if found is None:
        raise NoSuchRun(command.id)
    if found["state"] == "done":
        raise RunEnded(command.id, "done")
    if found["state"] == "cancelled":
        try:
            async with unit.savepoint():
                await unit.sql.execute(store.RESUME, command.id)
        except asyncpg.UniqueViolationError:
            raise AnotherRun(await unit.sql.fetchval(store.RUNNING, found["origin"], found["scope"])) from None
        await store.wake(unit)
        await record_action(unit, command.by, "run:resume", f"/v1/runs/{command.id}")
    return await views.get(unit.sql, command.id)
