"""Request a run each night, once a day has ended in the last time zone and all its demand is counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from crossdock_chassis import Actor, Unit
from forecast_service.calendar.store import read as read_calendar
from forecast_service.demand.history import DAYS
from forecast_service.places import LEVELS, SeriesLevel
from forecast_service.runs.model import HORIZON, Filter, NothingToForecast
from forecast_service.runs.request import Request, RequestRun, latest_origin

BY: Final = Actor("nightly")
NIGHT_ENDS: Final = 6
"""The hour in the last zone until which a run is requested. A new service waits for its first night."""

LAST: Final = """
    SELECT origin, demand, requested_at, calendar::text AS calendar
    FROM runs WHERE demand IS NOT NULL ORDER BY id DESC LIMIT 1
"""

MADE: Final = "SELECT FROM runs WHERE origin = $1 AND scope = $2 AND requested_at > now() - interval '7 days' LIMIT 1"

DEMAND: Final = f"""
    SELECT coalesce(sum(quantity), 0)::numeric FROM ({DAYS}) AS days
    WHERE location_id = '' AND region = '' AND day < $1
"""

# The id of a plan has the time at which it was stored. An introduction that was taken back has no row any more.
CHANGED: Final = """
    SELECT EXISTS (SELECT FROM planned_drivers
                   WHERE uuid_extract_timestamp(id) > $1 OR withdrawn_at > $1 OR (known_from > $1 AND known_from <= $2))
        OR EXISTS (SELECT FROM operator_action WHERE action = 'introduction:change' AND at > $1)
        OR EXISTS (SELECT FROM cleaning_decisions WHERE verdict_at > $1)
"""


@dataclass(frozen=True, slots=True)
class Nightly:
    request: Request
    levels: Sequence[SeriesLevel] = LEVELS[:1]

    async def request_nightly_run(self, unit: Unit) -> dict[str, object] | None:
        """Request a run of all series from the new day on, unless nothing has changed since the last one.

        That is demand, plans, the calendar, introductions, and what people decided about the cleaning.
        """
        settled = await unit.sql.fetchval("SELECT at FROM settled")
        if settled is None or self.request.zones.in_last_zone(settled).hour >= NIGHT_ENDS:
            return None
        origin, only = await latest_origin(unit.sql, self.request.zones), Filter(levels=tuple(self.levels))
        if origin is None or await unit.sql.fetchrow(MADE, origin, only.scope) is not None:
            return None
        last, demand = await unit.sql.fetchrow(LAST), await unit.sql.fetchval(DEMAND, origin)
        if last is not None and (
            last["origin"] >= origin or (last["demand"] == demand and not await _changed(unit, last))
        ):
            return None
        try:
            made = await self.request.request_run(unit, RequestRun(origin, HORIZON, only, None, BY, demand))
        except NothingToForecast:
            return None
        return {"run": str(made.run.id), "series": made.run.series}


async def _changed(unit: Unit, last: Any) -> bool:
    calendar = (await read_calendar(unit.sql)).document()
    if last["calendar"] is not None and from_json(last["calendar"]) != calendar:
        return True
    return bool(await unit.sql.fetchval(CHANGED, last["requested_at"], unit.now))
