"""What planners see of sums of forecasts, and the queries behind it."""

from datetime import date, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page
from forecast_service.fitting.series import QUANTILES, Fan
from forecast_service.forecasts.publish import rows_of
from forecast_service.hierarchy.model import TOTAL, Method, moved_to

PARTS: Final[Cursor[str]] = Cursor("forecast-parts", str)

# Runs of some items only have no sum that means anything.
WHOLE: Final = """
    SELECT id, origin, ended_at FROM runs
    WHERE ($1::uuid IS NULL OR id = $1) AND state = 'done' AND item_prefix IS NULL AND chosen IS NULL
          AND (category IS NULL OR category = $2)
          AND CASE WHEN $3 <> '' THEN 'location' WHEN $4 <> '' THEN 'region' ELSE 'item' END = ANY (levels)
    ORDER BY origin DESC, id DESC LIMIT 1
"""

STORED: Final = """
    SELECT * FROM forecast_sums WHERE run_id = $1 AND location_id = $2 AND region = $3 AND category = $4
"""

# On a day that an override changes, its number counts. On other days the reconciled one does, which is `own`.
MEANS: Final = """
    SELECT series.id, series.item_id, demand_items.category, own.mean AS own,
           coalesce(overrides <> '{}', false) AS changed,
           CASE WHEN overrides <> '{}' THEN ARRAY(
               SELECT CASE WHEN after = before THEN coherent ELSE after END
               FROM unnest(adjusted.mean, forecasts.mean, own.mean) WITH ORDINALITY AS day (after, before, coherent, n)
               ORDER BY n
           ) ELSE own.mean END AS mean
    FROM forecasts JOIN series ON series.id = forecasts.series_id LEFT JOIN demand_items USING (item_id)
    LEFT JOIN coherent_means ON coherent_means.run_id = forecasts.run_id
                            AND coherent_means.series_id = forecasts.series_id
    CROSS JOIN LATERAL (SELECT coalesce(coherent_means.mean, forecasts.mean) AS mean) AS own
    LEFT JOIN LATERAL (
        SELECT overrides, mean FROM adjusted_forecasts AS after
        WHERE after.series_id = forecasts.series_id AND after.origin = forecasts.origin
              AND after.run_id = forecasts.run_id
        ORDER BY after.made_at DESC LIMIT 1
    ) AS adjusted ON true
    WHERE forecasts.run_id = $1 AND series.location_id = $2 AND series.region = $3
          AND ($4 = '' OR demand_items.category = $4)
"""

SUM: Final = f"""
    SELECT array_agg(total ORDER BY day) AS mean, array_agg(own ORDER BY day) AS own, max(items) AS items,
           max(changed) AS changed
    FROM (
        SELECT day, sum(value) AS total, sum(each.own) AS own, count(*) AS items,
               count(*) FILTER (WHERE changed) AS changed
        FROM ({MEANS}) AS means, unnest(mean, own) WITH ORDINALITY AS each (value, own, day) GROUP BY day
    ) AS days
"""

CATEGORIES: Final = f"""
    SELECT category AS name, array_agg(total ORDER BY day) AS mean, max(items) AS items
    FROM (
        SELECT coalesce(category, '') AS category, day, sum(value) AS total, count(*) AS items
        FROM ({MEANS}) AS means, unnest(mean) WITH ORDINALITY AS each (value, day) GROUP BY 1, day
    ) AS days
    WHERE $5::text IS NULL OR category > $5
    GROUP BY category ORDER BY category LIMIT $6
"""

ITEMS: Final = f"""
    SELECT item_id AS name, mean, 1 AS items FROM ({MEANS}) AS means
    WHERE $5::text IS NULL OR item_id > $5 ORDER BY item_id LIMIT $6
"""


class NoSuchSum(Exception):
    """No run of all items, or of all of the category, is done."""


class SumOfDay(BaseModel):
    """`quantiles` and `cumulative` have a value for each of `levels`; null if the run was not reconciled."""

    day: date
    mean: float
    without_overrides: Annotated[float, Field(description="The mean without what planners stated")]
    quantiles: list[float] | None
    cumulative: Annotated[list[float] | None, Field(description="Of the sum of all days from the origin to this day")]


class ForecastSum(BaseModel):
    """The forecast of all items together, or of a category."""

    category: Annotated[str | None, Field(description="null: all items")]
    location_id: str | None
    region: str | None
    origin: date
    run_id: UUID
    made_at: datetime
    items: Annotated[int, Field(description="How many items are in the sum")]
    overridden: Annotated[int, Field(description="Of these items, those with an override")]
    method: Annotated[
        Method,
        Field(
            description="`min_trace`: items, categories and total were forecast alone and then reconciled; "
            "`bottom_up`: the sum of the items"
        ),
    ]
    why: Annotated[str | None, Field(description="The reason for bottom_up")]
    model: Annotated[
        str | None,
        Field(description="The model of the sum itself. Its backtests give the quantiles, moved to the mean"),
    ]
    levels: list[float]
    days: list[SumOfDay]


class PartOfSum(BaseModel):
    """A category of a total, or an item of a category. The means of all parts add up to that of the sum."""

    category: Annotated[str | None, Field(description="null: items without a category")]
    item_id: str | None
    items: int
    mean: Annotated[list[float], Field(description="Of each day of the horizon")]


async def get(
    sql: asyncpg.Connection, category: str | None, place: tuple[str, str], run_id: UUID | None
) -> ForecastSum:
    """Return a sum. Raise NoSuchSum."""
    run = await sql.fetchrow(WHOLE, run_id, category, *place)
    if run is None:
        raise NoSuchSum(_missing(category))
    now = await sql.fetchrow(SUM, run["id"], *place, category or TOTAL)
    row = await sql.fetchrow(STORED, run["id"], *place, category or TOTAL)
    if row is None:
        if now["mean"] is None:
            raise NoSuchSum(_missing(category))
        why = f"The run was not reconciled: POST /v1/runs/{run['id']}:reconcile."
        row = {"made_at": run["ended_at"], "method": "bottom_up", "why": why, "model": None, "quantiles": None}
        row |= {"mean": now["own"], "items": now["items"]}
    mean = now["mean"] if now["changed"] else row["mean"]
    fan = None
    if row["quantiles"] is not None:
        fan = moved_to(Fan(row["mean"], rows_of(row["quantiles"]), rows_of(row["cumulative"])), mean)
    return ForecastSum(
        category=category,
        location_id=place[0] or None,
        region=place[1] or None,
        origin=run["origin"],
        run_id=run["id"],
        made_at=row["made_at"],
        items=row["items"],
        overridden=now["changed"] or 0,
        method=row["method"],
        why=row["why"],
        model=row["model"],
        levels=list(QUANTILES),
        days=[
            SumOfDay(
                day=run["origin"] + timedelta(days=n),
                mean=value,
                without_overrides=row["mean"][n],
                quantiles=fan and [each[n] for each in fan.quantiles],
                cumulative=fan and [each[n] for each in fan.cumulative],
            )
            for n, value in enumerate(mean)
        ],
    )


async def parts(
    sql: asyncpg.Connection,
    category: str | None,
    place: tuple[str, str],
    run_id: UUID | None,
    after: str | None,
    limit: int,
) -> Page[PartOfSum]:
    """Return a page of the categories of a total, or of the items of a category. It is empty without a run."""
    run = await sql.fetchrow(WHOLE, run_id, category, *place)
    if run is None:
        return Page(items=[], next=None)
    query = CATEGORIES if category is None else ITEMS
    rows = await sql.fetch(query, run["id"], *place, category or TOTAL, after, limit + 1)
    found = [
        PartOfSum(
            category=(row["name"] or None) if category is None else category,
            item_id=None if category is None else row["name"],
            items=row["items"],
            mean=row["mean"],
        )
        for row in rows[:limit]
    ]
    return Page(items=found, next=PARTS.encode(rows[limit - 1]["name"]) if len(rows) > limit else None)


def _missing(category: str | None) -> str:
    what = "all items" if category is None else f"the category {category}"
    return f"There is no forecast of {what} there yet: request a run"
