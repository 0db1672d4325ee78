"""The calendar: holidays and closed days, which forecasts know in advance."""

from crossdock_chassis import Coalescer, Database, Feature, each
from forecast_service.calendar import http
from forecast_service.calendar.change import change_calendar
from forecast_service.calendar.views import CalendarView


def feature(database: Database) -> Feature:
    change = Coalescer(database, each(change_calendar), CalendarView, limit=1)
    return Feature(routers=[http.router], provides=[http.Calendars(database, change)], problems=http.PROBLEMS)
