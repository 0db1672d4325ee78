"""What planners see of planned drivers."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page
from forecast_service.drivers.model import NoSuchDriver
from forecast_service.fitting.series import Elsewhere

DRIVERS: Final[Cursor[UUID]] = Cursor("drivers", UUID)

PAGE: Final = """
    SELECT * FROM planned_drivers
    WHERE withdrawn_at IS NULL AND ($1::text IS NULL OR name = $1) AND ($2::text IS NULL OR item_id = $2)
          AND ($3::text IS NULL OR category = $3) AND ($4::text IS NULL OR location_id = $4)
          AND ($5::date IS NULL OR (first_day <= $5 AND coalesce(last_day, 'infinity') >= $5))
          AND ($6::uuid IS NULL OR id < $6)
    ORDER BY id DESC LIMIT $7
"""


class DriverView(BaseModel):
    """A planned value. It is for an item, for a category, or for all; at one location, or everywhere."""

    id: UUID
    name: str
    item_id: str | None
    category: str | None
    location_id: str | None
    first_day: date
    last_day: Annotated[date | None, Field(description="null: from the first day on, for ever")]
    value: float
    elsewhere: Annotated[Elsewhere, Field(description="What the driver is on days without a plan")]
    known_from: Annotated[datetime, Field(description="Forecasts of earlier origins do not know it")]
    planned_by: str
    withdrawn_at: datetime | None

    @property
    def path(self) -> str:
        return f"/v1/drivers/{self.id}"


async def get(sql: asyncpg.Connection, id: UUID) -> DriverView:
    """Return a plan, also if it was withdrawn. Raise NoSuchDriver."""
    row = await sql.fetchrow("SELECT * FROM planned_drivers WHERE id = $1", id)
    if row is None:
        raise NoSuchDriver(id)
    return _view(row)


async def page(
    sql: asyncpg.Connection,
    name: str | None,
    scope: tuple[str | None, str | None, str | None],
    day: date | None,
    before: UUID | None,
    limit: int,
) -> Page[DriverView]:
    """Return a page of plans that are not withdrawn, the newest first."""
    rows = await sql.fetch(PAGE, name, *scope, day, before, limit + 1)
    found = [_view(row) for row in rows[:limit]]
    return Page(items=found, next=DRIVERS.encode(found[-1].id) if len(rows) > limit else None)


def _view(row: Mapping[str, Any]) -> DriverView:
    scope = {name: row[name] or None for name in ("item_id", "category", "location_id")}
    return DriverView(**(dict(row) | scope))
