"""What planners see of demand, and the queries behind it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page
from forecast_service.conventions import Day
from forecast_service.demand.history import DAYS

DAYS_CURSOR: Final[Cursor[date]] = Cursor("demand-days", date)

PAGE: Final = f"""
    SELECT CASE $5 WHEN 'week' THEN date_trunc('week', days.day)::date ELSE days.day END AS day,
           sum(days.quantity)::bigint AS quantity
    FROM ({DAYS}) AS days
    WHERE days.item_id = $1 AND days.location_id = $2 AND days.region = $3
          AND days.day >= $4 AND ($6::date IS NULL OR days.day <= $6)
    GROUP BY 1 ORDER BY 1 LIMIT $7
"""

SUMMARY: Final = f"""
    SELECT count(DISTINCT days.item_id) AS items, coalesce(sum(days.quantity), 0)::bigint AS quantity,
           min(days.day) AS first_day, max(days.day) AS last_day
    FROM ({DAYS}) AS days JOIN demand_items USING (item_id)
    WHERE days.location_id = '' AND days.region = '' AND days.quantity > 0 AND demand_items.status = 'active'
          AND ($1::date IS NULL OR days.day <= $1)
"""

OUTS: Final = """
    SELECT began, ended FROM stock_outs
    WHERE item_id = $1 AND location_id = $2 ORDER BY began DESC LIMIT 100
"""


class DemandOfDay(BaseModel):
    """What was asked for. Days without demand are left out."""

    day: Annotated[date, Field(description="The day, or the Monday of the week")]
    quantity: Annotated[int, Field(description="In base units of the item")]


class StockOut(BaseModel):
    began: datetime
    ended: Annotated[datetime | None, Field(description="null while it lasts")]


class DemandSummary(BaseModel):
    """The demand from which active items can be forecast."""

    items: Annotated[int, Field(description="Active items with any demand")]
    quantity: Annotated[int, Field(description="The sum over all of them, each in its base unit")]
    first_day: date | None
    last_day: date | None


class CutOver(BaseModel):
    """Before this day imported rows count, and from it on orders do."""

    day: Annotated[
        Day | None,
        Field(description="null: for each item, the day after its last imported day"),
    ]


async def page(
    sql: asyncpg.Connection,
    series: tuple[str, str, str],
    by: Literal["day", "week"],
    first: date,
    last: date | None,
    limit: int,
) -> Page[DemandOfDay]:
    rows = await sql.fetch(PAGE, *series, first, by, last, limit + 1)
    items = [DemandOfDay(day=row["day"], quantity=row["quantity"]) for row in rows[:limit]]
    return Page(items=items, next=DAYS_CURSOR.encode(rows[limit]["day"]) if len(rows) > limit else None)


async def stock_outs(sql: asyncpg.Connection, item_id: str, location_id: str) -> Sequence[StockOut]:
    """Return the last 100 times without free units, the newest first."""
    return [StockOut(began=row["began"], ended=row["ended"]) for row in await sql.fetch(OUTS, item_id, location_id)]


async def cut_over(sql: asyncpg.Connection) -> CutOver:
    return CutOver(day=await sql.fetchval("SELECT day FROM cut_over"))


async def summary(sql: asyncpg.Connection, until: date | None) -> DemandSummary:
    return DemandSummary(**dict(await sql.fetchrow(SUMMARY, until)))
