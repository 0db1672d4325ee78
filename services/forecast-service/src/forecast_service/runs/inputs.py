"""Read what forecasts learn from: demand, the calendar and planned drivers, as they were known."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

import asyncpg

from forecast_service.calendar.model import Calendar
from forecast_service.calendar.store import read as read_calendar
from forecast_service.demand.history import histories
from forecast_service.drivers.store import plans
from forecast_service.fitting.series import History
from forecast_service.introductions.apply import carried
from forecast_service.introductions.model import Carried


async def inputs(
    sql: asyncpg.Connection,
    series: Sequence[UUID],
    origin: date,
    horizon: int,
    at: datetime,
    calendar: Calendar | None = None,
) -> tuple[list[History], dict[str, Carried], Calendar]:
    """Return the histories of series with their drivers, how to shape their forecasts, and the calendar.

    It is the current calendar, or the one that is given. Plans after `at` are not known.
    """
    last = origin + timedelta(days=horizon - 1)
    found, new = await carried(sql, await histories(sql, series, origin - timedelta(days=1)), origin, horizon)
    calendar = calendar or await read_calendar(sql)
    planned = await plans(sql, series, origin, last, at, calendar.closed())
    found = [
        replace(each, drivers=calendar.drivers(each.start, last), plans=planned.get(each.series, ())) for each in found
    ]
    return found, new, calendar
