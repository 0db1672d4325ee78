"""What planners see of the calendar."""

from datetime import date, timedelta
from typing import Annotated, Final

from pydantic import BaseModel, Field

from forecast_service.calendar.model import Calendar, Kind

SHOWN: Final = timedelta(days=366)


class DayView(BaseModel):
    day: date
    name: str
    kind: Kind


class CalendarView(BaseModel):
    countries: Annotated[list[str], Field(description="Their public holidays count, such as US or US-CA")]
    own_days: Annotated[list[DayView], Field(description="The company's own days, which replace public holidays")]
    next_days: Annotated[list[DayView], Field(description="The holidays and closed days of the next year, merged")]


def view(calendar: Calendar, today: date) -> CalendarView:
    own = [DayView(day=each.day, name=each.name, kind=each.kind) for each in calendar.own]
    ahead = calendar.between(today, today + SHOWN).values()
    return CalendarView(
        countries=list(calendar.countries),
        own_days=own,
        next_days=[DayView(day=each.day, name=each.name, kind=each.kind) for each in ahead],
    )
