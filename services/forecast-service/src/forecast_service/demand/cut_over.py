"""State from which day on orders count. Before it, imported rows do."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from crossdock_chassis import Actor, Unit, record_action
from forecast_service.demand import views
from forecast_service.demand.views import CutOver

KEEP: Final = "INSERT INTO cut_over (day) VALUES ($1) ON CONFLICT (one) DO UPDATE SET day = excluded.day"
FORGET: Final = "DELETE FROM cut_over"


@dataclass(frozen=True, slots=True)
class SetCutOver:
    day: date | None
    by: Actor


async def set_cut_over(unit: Unit, command: SetCutOver) -> CutOver:
    before, after = await views.cut_over(unit.sql), CutOver(day=command.day)
    if before != after:
        if command.day is None:
            await unit.sql.execute(FORGET)
        else:
            await unit.sql.execute(KEEP, command.day)
        shown = [each.model_dump(mode="json") for each in (before, after)]
        await record_action(unit, command.by, "demand:cut-over", "/v1/demand/cut-over", before=shown[0], after=shown[1])
    return after
