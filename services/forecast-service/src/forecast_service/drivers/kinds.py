"""The file of planned drivers that clients import: its columns and the rules of its rows."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field

from crossdock_chassis import Chunk, Column, Counts, ImportKind, RowError, RowsRefused, Sheet, Unit, new_id
from forecast_service.conventions import FIRST_DAY, LAST_DAY, Id
from forecast_service.drivers import store
from forecast_service.drivers.model import MOST_NAMES, Driver, faults

MOST: Final = 10**12
NAME: Final = "^[a-z][a-z0-9_]{0,63}$"

Name = Annotated[str, Field(pattern=NAME, description="lower case letters, digits and _, such as price or promotion")]
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY, description="a day such as 2026-11-30, from 1990 on")]


def driver_of(cells: Mapping[str, Any]) -> Driver:
    """Return the plan of a row or of a body."""
    return Driver(
        cells["name"],
        cells.get("item_id") or "",
        cells.get("category") or "",
        cells.get("location_id") or "",
        _day(cells["first_day"]),
        None if cells.get("last_day") is None else _day(cells["last_day"]),
        float(cells["value"]),
        _moment(cells.get("known_from")),
        cells.get("elsewhere"),
    )


def _day(value: date | str) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _moment(value: date | str | None) -> datetime | None:
    """Return a time in UTC. A day becomes known when it begins."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    return datetime.combine(value, time(), UTC)


def _complete(cells: dict[str, Any], arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Fill in the columns that a file may leave out. Yield the errors of the whole row."""
    for name in ("item_id", "category", "location_id", "known_from"):
        cells.setdefault(name, None)
    if all(cells.get(name) is not None for name in ("name", "first_day", "value")):
        yield from faults(driver_of(cells))


_DRIVERS: Final = Sheet(
    (
        Column("name", Name, required=True, example="promotion"),
        Column("first_day", Day, required=True, example="2026-11-23"),
        Column("last_day", Day, example="2026-11-29"),
        Column("value", Annotated[Decimal, Field(ge=-MOST, le=MOST)], required=True, example="1"),
        Column("item_id", Id, example="SKU-1"),
        Column("category", Id, example=""),
        Column("location_id", Id, example=""),
        Column("elsewhere", Annotated[Literal["zero", "unknown"], Field()], example="zero"),
        Column("known_from", Annotated[AwareDatetime | date, Field()], example="2026-11-01"),
    ),
    key=("name", "item_id", "category", "location_id", "first_day", "known_from"),
    rule=_complete,
)


def drivers() -> Sheet:
    return _DRIVERS


async def take_drivers(unit: Unit, chunk: Chunk) -> Counts:
    """Store plans. A row equal to the newest plan for its days changes nothing."""
    rows = [(new_id(), driver_of(row.cells)) for row in chunk.rows]
    if extra := await store.beyond(unit.sql, (driver.name for _, driver in rows)):
        detail = f"more than {MOST_NAMES} drivers would have plans"
        raise RowsRefused([RowError(row.number, "name", detail) for row in chunk.rows if row.cells["name"] in extra])
    made = await store.insert(unit, rows, chunk.partner)
    return Counts(made, 0, len(rows) - made)


DRIVERS: Final = ImportKind("drivers", drivers, take_drivers)
