"""The calendar over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis import COMMAND_PROBLEMS, Coalescer, Database, Problem, errors, provided
from forecast_service.calendar import store
from forecast_service.calendar.change import ChangeCalendar
from forecast_service.calendar.model import Kind, OwnDay, UnknownCountry
from forecast_service.calendar.views import CalendarView, view
from forecast_service.conventions import FORECASTS, Day, Reader, Writer

UNKNOWN_COUNTRY: Final = Problem(422, "unknown-country", "The holidays of a country are not known")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {UnknownCountry: UNKNOWN_COUNTRY}


@dataclass(frozen=True, slots=True)
class Calendars:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[ChangeCalendar, CalendarView]


CalendarsDep = Annotated[Calendars, provided(Calendars)]
router = APIRouter(prefix="/v1/calendar", tags=["calendar"])
Country = Annotated[str, Field(pattern="^[A-Z]{2}(-[A-Z0-9]{1,6})?$")]


class CountriesIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    countries: Annotated[list[Country], Field(max_length=50, description="Such as US, or US-CA with its own holidays")]


class DayIn(BaseModel):
    """`closed`: nothing is sold, and nothing is learnt from it. `ordinary`: a public holiday that is none here."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Kind


@router.get("", summary="Show holidays and closed days")
async def get_calendar(caller: Reader, calendars: CalendarsDep) -> CalendarView:
    async with calendars.database.unit() as unit:
        return view(await store.read(unit.sql), datetime.now(UTC).date())


@router.put(
    "/countries",
    dependencies=FORECASTS,
    summary="State whose public holidays count",
    responses=errors(UNKNOWN_COUNTRY, *COMMAND_PROBLEMS),
)
async def put_countries(body: CountriesIn, caller: Writer, calendars: CalendarsDep) -> CalendarView:
    countries = tuple(sorted(set(body.countries), key=body.countries.index))
    return (await calendars.change(ChangeCalendar(caller.actor, countries=countries))).result


@router.put(
    "/days/{day}",
    dependencies=FORECASTS,
    summary="State that a day is a holiday, closed or ordinary",
    responses=errors(*COMMAND_PROBLEMS),
)
async def put_day(day: Day, body: DayIn, caller: Writer, calendars: CalendarsDep) -> CalendarView:
    own = OwnDay(day, body.name, body.kind)
    return (await calendars.change(ChangeCalendar(caller.actor, day=own))).result


@router.delete(
    "/days/{day}",
    dependencies=FORECASTS,
    summary="Remove one of the company's own days",
    responses=errors(*COMMAND_PROBLEMS),
)
async def delete_day(day: Day, caller: Writer, calendars: CalendarsDep) -> CalendarView:
    """Return the calendar without it. A day that is not there is no error."""
    return (await calendars.change(ChangeCalendar(caller.actor, remove=day))).result
