"""What planners see of cleaning, and the queries behind it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page
from forecast_service.cleaning.model import NoSuchSeries, Verdict
from forecast_service.fitting.series import Rule

CURSOR: Final[Cursor[date]] = Cursor("cleaning", date)

PAGE: Final = """
    SELECT day, rule, reason, before, after, run_id, verdict, verdict_by, verdict_at FROM cleaning_decisions
    WHERE series_id = $1 AND ($2::date IS NULL OR day < $2) ORDER BY day DESC LIMIT $3
"""


class DecisionView(BaseModel):
    """Models learn `after` instead of `before`. The demand itself and what forecasts are judged by stay."""

    day: date
    rule: Annotated[
        Rule,
        Field(
            description="outlier; out_of_stock: the demand is a lower bound; feed_down and row_missing: the demand is "
            "unknown; ended: nobody asks for it any more"
        ),
    ]
    reason: str
    before: Annotated[float | None, Field(description="In base units of the item; null if it is unknown")]
    after: float
    run_id: Annotated[UUID, Field(description="The run that decided it")]
    verdict: Annotated[
        Verdict | None,
        Field(description="How a person judged it: undone, runs learn the demand itself; pinned, they learn `after`"),
    ]
    verdict_by: str | None
    verdict_at: datetime | None


async def of_series(sql: asyncpg.Connection, series_id: UUID, limit: int = 1_000) -> Sequence[DecisionView]:
    """Return the decisions of the last run and those that a person has judged, the newest day first."""
    return [decision(row) for row in await sql.fetch(PAGE, series_id, None, limit)]


async def page(sql: asyncpg.Connection, series_id: UUID, before: date | None, limit: int) -> Page[DecisionView]:
    """Return a page of the decisions about a series. Raise NoSuchSeries."""
    rows = await sql.fetch(PAGE, series_id, before, limit + 1)
    if not rows and not await sql.fetchval("SELECT count(*) FROM series WHERE id = $1", series_id):
        raise NoSuchSeries(series_id)
    items = [decision(row) for row in rows[:limit]]
    return Page(items=items, next=CURSOR.encode(items[-1].day) if len(rows) > limit else None)


def decision(row: Any) -> DecisionView:
    return DecisionView(**dict(row))
