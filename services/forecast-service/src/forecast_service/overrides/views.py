"""What planners see of overrides, and the queries behind it."""

from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page
from forecast_service.overrides.model import Kind, Level, NoSuchOverride, Status

OVERRIDES: Final[Cursor[UUID]] = Cursor("overrides", UUID)

SHOW: Final = """
    SELECT overrides.*, parts.published
    FROM overrides CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE published) AS published FROM override_parts WHERE override_id = overrides.id
    ) AS parts
"""

PAGE: Final = f"""
    {SHOW}
    WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR item_id = $2)
          AND ($3::text IS NULL OR category = $3) AND ($4::text IS NULL OR status = $4)
    ORDER BY id DESC LIMIT $5
"""


class OverrideView(BaseModel):
    """An override. `absolute` and `add` are about the sum of its days, and `percent` changes each day."""

    id: UUID
    level: Annotated[Level, Field(description="Overrides of one day apply in the order total, category, item")]
    item_id: str | None
    category: str | None
    location_id: Annotated[str | None, Field(description="null: the forecasts of whole items")]
    kind: Kind
    value: Annotated[float, Field(description="In base units, or percent")]
    first_day: date
    last_day: date
    why: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime | None
    status: Status
    ended_by: str | None
    ended_at: datetime | None
    forecast: Annotated[float, Field(description="The sum of the models' forecasts of these days when it was made")]
    series: Annotated[int, Field(description="The forecasts that it changes")]
    published: Annotated[int, Field(description="Of them, those that are published in its present state")]

    @property
    def path(self) -> str:
        return f"/v1/overrides/{self.id}"


async def get(sql: asyncpg.Connection, id: UUID) -> OverrideView:
    """Return an override. Raise NoSuchOverride."""
    row = await sql.fetchrow(f"{SHOW} WHERE id = $1", id)
    if row is None:
        raise NoSuchOverride(id)
    return _view(row)


async def page(
    sql: asyncpg.Connection,
    before: UUID | None,
    limit: int,
    item_id: str | None,
    category: str | None,
    status: Status | None,
) -> Page[OverrideView]:
    """Return a page of overrides, the newest first."""
    rows = await sql.fetch(PAGE, before, item_id, category, status, limit + 1)
    found = [_view(row) for row in rows[:limit]]
    return Page(items=found, next=OVERRIDES.encode(found[-1].id) if len(rows) > limit else None)


def _view(row: Any) -> OverrideView:
    return OverrideView(**{name: row[name] for name in OverrideView.model_fields})
