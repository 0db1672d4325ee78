"""What planners see of past forecasts beside what was asked for, and the query behind it."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Final

import asyncpg
from pydantic import BaseModel, Field

from forecast_service.accuracy.model import Scored, score
from forecast_service.accuracy.pairs import PAIRS
from forecast_service.demand.censored import out_of_stock
from forecast_service.demand.history import fetch_over_all_days

MOST_DAYS: Final = 366
WORST: Final = 10


class Scoring(BaseModel):
    """Errors of the mean over days and series, as shares of what was asked for; null if nothing was."""

    count: Annotated[int, Field(description="Days of series that had a forecast, and stock")]
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
    sql: asyncpg.Connection,
    since: date,
    until: date,
    lag: int,
    item_id: str | None,
    location_id: str,
    region: str,
    zone: str,
) -> Accuracy:
    """Compare the forecasts of some days with their demand. A day on which an item was out of stock does not count."""
    censored = await out_of_stock(sql, since, until, item_id, location_id, region, zone)
    rows = await fetch_over_all_days(sql, PAIRS, since, until, lag, item_id, location_id, region)
    items: dict[str, list[Scored]] = {}
    for row in rows:
        if (row["item_id"], row["day"]) in censored:
            continue
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
