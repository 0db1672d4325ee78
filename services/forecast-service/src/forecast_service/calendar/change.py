"""Change the calendar: whose public holidays count, and the company's own days."""

from dataclasses import asdict, dataclass
from datetime import date

from crossdock_chassis import Actor, Unit, record_action
from forecast_service.calendar import store
from forecast_service.calendar.model import OwnDay, check
from forecast_service.calendar.views import CalendarView, view


@dataclass(frozen=True, slots=True)
class ChangeCalendar:
    """`countries` replaces the list of countries, `day` sets a day, and `remove` removes one. None changes nothing."""

    by: Actor
    countries: tuple[str, ...] | None = None
    day: OwnDay | None = None
    remove: date | None = None


async def change_calendar(unit: Unit, command: ChangeCalendar) -> CalendarView:
    """Change the calendar. Raise UnknownCountry."""
    await unit.sql.execute("LOCK TABLE calendar_countries IN SHARE ROW EXCLUSIVE MODE")
    before = await store.read(unit.sql)
    if command.countries is not None:
        check(command.countries, unit.now.date())
        await store.set_countries(unit, command.countries)
    if command.day is not None:
        await store.set_day(unit, command.day)
    if command.remove is not None:
        await store.remove_day(unit, command.remove)
    after = await store.read(unit.sql)
    if before != after:
        documents = [asdict(each) for each in (before, after)]
        await record_action(
            unit, command.by, "calendar:change", "/v1/calendar", before=documents[0], after=documents[1]
        )
    return view(after, unit.now.date())
