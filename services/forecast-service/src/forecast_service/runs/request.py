"""Request a run. A run of the same series that is running is the run."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import asyncpg
from pydantic import BaseModel

from crossdock_chassis import Actor, Unit, new_id, record_action
from forecast_service.calendar.store import read as read_calendar
from forecast_service.demand.history import find
from forecast_service.forecasts.choices import fitting
from forecast_service.introductions.apply import inherited
from forecast_service.places import Zones
from forecast_service.runs import store, views
from forecast_service.runs.model import (
    AnotherRun,
    Filter,
    NothingToForecast,
    OriginNotReached,
    UnknownSeries,
    plan,
)
from forecast_service.runs.views import RunView


@dataclass(frozen=True, slots=True)
class RequestRun:
    """`demand` is the sum that a nightly run has counted. `reselect` chooses all models anew."""

    origin: date | None
    horizon: int
    only: Filter
    deadline_seconds: int | None
    by: Actor
    demand: Decimal | None = None
    reselect: bool = False


class Requested(BaseModel):
    run: RunView
    created: bool


@dataclass(frozen=True, slots=True)
class Request:
    """The verb. `zones` are those of the days of demand, and `chunk` is how many series are forecast together."""

    zones: Zones
    chunk: int

    async def request_run(self, unit: Unit, command: RequestRun) -> Requested:
        """Plan the run. Raise OriginNotReached, UnknownSeries, NothingToForecast, or AnotherRun if one is running."""
        origin, only = await self.origin(unit, command.origin), command.only
        id = new_id()
        if (running := await unit.sql.fetchrow(store.RUNNING, origin, only.scope)) is None:
            found = await find(
                unit.sql,
                item_prefix=only.item_prefix,
                category=only.category,
                levels=only.levels,
                only=only.series and frozenset(only.series),
                inherited=await inherited(unit.sql),
                until=origin - timedelta(days=1),
            )
            series = [series for series, _ in found]
            if unknown := [(place, each) for place, each in enumerate(only.series or ()) if each not in series]:
                raise UnknownSeries(unknown)
            if not series:
                raise NothingToForecast(origin)
            new = store.New(
                id,
                origin,
                command.horizon,
                only,
                command.deadline_seconds,
                command.demand,
                command.reselect,
                command.by.who,
                await read_calendar(unit.sql),
            )
            refit = set() if command.reselect else await fitting(unit.sql, self.zones, series, origin, command.horizon)
            chunks = plan(series, self.chunk, cheap_first=command.deadline_seconds is not None, refit=refit)
            if await store.insert(unit, new, chunks):
                run = await views.get(unit.sql, id)
                shown = run.model_dump(mode="json", include={"origin", "horizon", "series", "deadline_at"})
                await record_action(unit, command.by, "run:request", run.path, after=shown)
                return Requested(run=run, created=True)
            running = await unit.sql.fetchrow(store.NEWEST, origin, only.scope)  # the insertion waited for its commit
        wanted = command.horizon, command.deadline_seconds, command.reselect
        if (running["horizon"], running["deadline_seconds"], running["reselect"]) != wanted:
            raise AnotherRun(running["id"])
        return Requested(run=await views.get(unit.sql, running["id"]), created=False)

    async def origin(self, unit: Unit, wanted: date | None) -> date:
        """Return the wanted day, or the day after the last one that is counted. Raise OriginNotReached."""
        latest = await latest_origin(unit.sql, self.zones)
        if wanted is None and latest is not None:
            return latest
        if wanted is None or wanted > (latest or after_whole_day(self.zones, unit.now)):
            raise OriginNotReached(wanted, latest)
        return wanted


async def latest_origin(sql: asyncpg.Connection, zones: Zones) -> date | None:
    """Return the day after the last one whose demand is whole, None if nothing is counted yet."""
    settled = await sql.fetchval("SELECT at FROM settled")
    return None if settled is None else after_whole_day(zones, settled)


def after_whole_day(zones: Zones, at: datetime) -> date:
    return zones.last_whole_day(at) + timedelta(days=1)
