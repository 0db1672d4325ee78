"""Read what forecasts learn from: demand and what is known about its days, the calendar, and planned drivers."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

import asyncpg

from forecast_service.calendar.model import Calendar
from forecast_service.calendar.store import read as read_calendar
from forecast_service.cleaning.marks import Marker
from forecast_service.demand.history import histories
from forecast_service.drivers.store import plans
from forecast_service.fitting.series import History
from forecast_service.introductions.apply import carried
from forecast_service.introductions.model import Carried
from forecast_service.places import Zones


class Inputs:
    """Reads the histories of series. `zones` are those of the days of demand."""

    def __init__(self, zones: Zones | None = None) -> None:
        self._marker = Marker(zones or Zones())

    async def read(
        self,
        sql: asyncpg.Connection,
        series: Sequence[UUID],
        origin: date,
        horizon: int,
        at: datetime,
        occasion: Hashable,
        calendar: Calendar | None = None,
    ) -> tuple[list[History], dict[str, Carried], Calendar]:
        """Return histories with their marks and drivers, how to shape their forecasts, and the calendar.

        It is the current calendar, or the one that is given. Plans after `at` are not known. What is known of all items
        together is read once for each `occasion`.
        """
        until, last = origin - timedelta(days=1), origin + timedelta(days=horizon - 1)
        found, new = await carried(sql, await histories(sql, series, until), origin, horizon)
        calendar = calendar or await read_calendar(sql)
        planned = await plans(sql, series, origin, last, at, calendar.closed())
        found = [
            replace(each, drivers=calendar.drivers(each.start, last), plans=planned.get(each.series, ()))
            for each in found
        ]
        return await self._marker.mark(sql, occasion, found, until, calendar.closed()), new, calendar
