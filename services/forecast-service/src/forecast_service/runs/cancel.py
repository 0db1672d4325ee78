"""Cancel a run. What is published stays, and what is being computed is thrown away."""

from dataclasses import dataclass
from uuid import UUID

from crossdock_chassis import Actor, Unit, record_action
from forecast_service.runs import store, views
from forecast_service.runs.model import NoSuchRun, RunEnded
from forecast_service.runs.views import RunView


@dataclass(frozen=True, slots=True)
class CancelRun:
    id: UUID
    by: Actor


async def cancel_run(unit: Unit, command: CancelRun) -> RunView:
    """Return the run. A cancelled run stays as it is. Raise NoSuchRun, or RunEnded if it is done."""
    found = await unit.sql.fetchrow(store.LOCK, command.id)
    if found is None:
        raise NoSuchRun(command.id)
    if found["state"] == "done":
        raise RunEnded(command.id, "done")
    if found["state"] == "running":
        await unit.sql.execute(store.CANCEL, command.id, unit.now)
        await record_action(unit, command.by, "run:cancel", f"/v1/runs/{command.id}")
    return await views.get(unit.sql, command.id)
