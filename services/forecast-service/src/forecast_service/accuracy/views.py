"""What planners see of past forecasts beside what was asked for, and the query behind it."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Final

import asyncpg
from pydantic import BaseModel, Field

from forecast_service.accuracy.model import Scored, score
from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import QUANTILES

MOST_DAYS: Final = 366
WORST: Final = 10
P90: Final = QUANTILES.index(0.9)

# The forecast of a day is the last one that was made for it at least `lag` days ahead. Seasonal naive repeats the last
# known day with the same weekday.
PAIRS: Final = f"""
    WITH paired AS (
        SELECT series.id, series.item_id, series.location_id, series.region, day::date AS day, last.origin,
               last.mean[day::date - last.origin + 1] AS mean,
               last.quantiles[{P90} * cardinality(last.mean) + (day::date - last.origin) + 1] AS p90,
               (day::date - 7 * ((day::date - last.origin) / 7 + 1))::date AS same_weekday
        FROM series
        CROSS JOIN generate_series($1::date, $2::date, interval '1 day') AS day
        CROSS JOIN LATERAL (
            SELECT origin, mean, quantiles FROM forecasts
            WHERE forecasts.series_id = series.id AND origin <= day::date - $3::int + 1
                  AND origin + cardinality(mean) > day::date
            ORDER BY origin DESC, made_at DESC LIMIT 1
        ) AS last
        WHERE ($4::text IS NULL OR series.item_id = $4) AND series.location_id = $5 AND series.region = $6
    ), days AS MATERIALIZED (
        SELECT item_id, location_id, region, day, sum(quantity)::bigint AS quantity FROM ({DAYS}) AS counted
        WHERE day BETWEEN $1::date - 372 AND $2::date AND location_id = $5 AND region = $6
              AND ($4::text IS NULL OR item_id = $4)
        GROUP BY item_id, location_id, region, day
    )
    SELECT paired.item_id, paired.day, paired.mean, paired.p90, coalesce(actual.quantity, 0) AS actual,
           coalesce(naive.quantity, 0) AS naive
    FROM paired
    LEFT JOIN days AS actual USING (item_id, location_id, region, day)
    LEFT JOIN days AS naive ON (naive.item_id, naive.location_id, naive.region, naive.day)
                             = (paired.item_id, paired.location_id, paired.region, paired.same_weekday)
"""


class Scoring(BaseModel):
    """Errors of the mean over days and series, as shares of what was asked for; null if nothing was."""

    count: Annotated[int, Field(description="Days of series that had a forecast")]
    actual: Annotated[float, Field(description="What was asked for, in base units")]
    wape: Annotated[float | None, Field(description="Sum of absolute errors / sum of demand")]
    bias: Annotated[float | None, Field(description="(forecast - demand) / demand: above zero, too much was forecast")]
    naive_wape: Annotated[float | None, Field(description="WAPE of repeating the last known day of the same weekday")]
    at_or_below_p90: Annotated[float | None, Field(description="The share of days at or below the 0.9 quantile")]


class ItemScore(Scoring):
    item_id: str
    forecast: Annotated[float, Field(description="The sum of the means")]


class Accuracy(BaseModel):
    since: date
    until: date
    lag: Annotated[int, Field(description="Each day was forecast at least so many days ahead")]
    all: Scoring
    worst: Annotated[list[ItemScore], Field(description="The items with the largest sums of absolute errors")]


async def accuracy(
    sql: asyncpg.Connection, since: date, until: date, lag: int, item_id: str | None, location_id: str, region: str
) -> Accuracy:
    """Compare the forecasts of some days with their demand."""
    rows = await sql.fetch(PAIRS, since, until, lag, item_id, location_id, region)
    items: dict[str, list[Scored]] = {}
    for row in rows:
        day = Scored(row["actual"], row["mean"], row["naive"], row["p90"])
        items.setdefault(row["item_id"], []).append(day)
    worst = sorted(items, key=lambda item: (-sum(abs(day.mean - day.actual) for day in items[item]), item))[:WORST]
    return Accuracy(
        since=since,
        until=until,
        lag=lag,
        all=Scoring(**asdict(score(day for days in items.values() for day in days))),
        worst=[
            ItemScore(item_id=item, forecast=sum(day.mean for day in items[item]), **asdict(score(items[item])))
            for item in worst
        ],
    )
