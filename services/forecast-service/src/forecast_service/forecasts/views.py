"""What planners see of forecasts, and the queries behind it."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import QUANTILES
from forecast_service.forecasts.publish import rows_of

LAST: Final = """
    SELECT series.item_id, series.location_id, series.region, forecasts.*, forecasts.scores::text AS scored,
           adjusted.overrides, adjusted.mean AS adjusted_mean, adjusted.quantiles AS adjusted_quantiles,
           adjusted.cumulative AS adjusted_cumulative
    FROM series JOIN forecasts ON forecasts.series_id = series.id LEFT JOIN LATERAL (
        SELECT * FROM adjusted_forecasts AS adjusted
        WHERE adjusted.series_id = forecasts.series_id AND adjusted.origin = forecasts.origin
              AND adjusted.run_id = forecasts.run_id AND ($4::timestamptz IS NULL OR adjusted.made_at <= $4)
        ORDER BY adjusted.made_at DESC LIMIT 1
    ) AS adjusted ON true
    WHERE series.item_id = $1 AND series.location_id = $2 AND series.region = $3
          AND ($4::timestamptz IS NULL OR forecasts.made_at <= $4)
    ORDER BY forecasts.made_at DESC, forecasts.origin DESC LIMIT 1
"""

ORDERED: Final = f"""
    SELECT days.day, days.quantity FROM ({DAYS}) AS days
    WHERE days.item_id = $1 AND days.location_id = $2 AND days.region = $3 AND days.day BETWEEN $4 AND $5
"""


class NoSuchForecast(Exception):
    """No run has made a forecast of the series, or none before the given time."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"There is no forecast of {item_id} yet: start a run")


class ForecastOfDay(BaseModel):
    """`quantiles` and `cumulative` have a value for each of the forecast's `levels`."""

    day: date
    mean: float
    model_mean: Annotated[float, Field(description="The mean without overrides")]
    quantiles: list[float]
    cumulative: Annotated[list[float], Field(description="Of the sum of all days from the origin to this day")]
    ordered: Annotated[int, Field(description="What orders and imports already ask for on this day")]


class Forecast(BaseModel):
    series_id: UUID
    item_id: str
    location_id: str | None
    region: str | None
    origin: Annotated[date, Field(description="The first day of the forecast; demand before it was known")]
    made_at: datetime
    run_id: UUID
    model: str
    demand_class: str
    why: Annotated[str | None, Field(description="The reason if it is not by the model that would have been chosen")]
    scores: dict[str, float]
    version: Annotated[int | None, Field(description="The sequence of its event; null if it had not moved")]
    overrides: Annotated[list[UUID], Field(description="The overrides in it, in the order in which they apply")]
    levels: list[float]
    days: list[ForecastOfDay]


async def last(sql: asyncpg.Connection, series: tuple[str, str, str], as_of: datetime | None) -> Forecast:
    """Return the last forecast of a series that was made by `as_of`. Raise NoSuchForecast."""
    row = await sql.fetchrow(LAST, *series, as_of)
    if row is None:
        raise NoSuchForecast(series[0])
    origin, horizon = row["origin"], len(row["mean"])
    end = origin + timedelta(days=horizon - 1)
    ordered = {each["day"]: each["quantity"] for each in await sql.fetch(ORDERED, *series, origin, end)}
    return _forecast(row, ordered)


def _forecast(row: Any, ordered: dict[date, int]) -> Forecast:
    overrides = row["overrides"] or []
    kind = "adjusted_" if overrides else ""
    means, daily, cumulative = (
        row[f"{kind}mean"],
        *(rows_of(row[f"{kind}{name}"]) for name in ("quantiles", "cumulative")),
    )
    days = [row["origin"] + timedelta(days=n) for n in range(len(row["mean"]))]
    return Forecast(
        series_id=row["series_id"],
        item_id=row["item_id"],
        location_id=row["location_id"] or None,
        region=row["region"] or None,
        origin=row["origin"],
        made_at=row["made_at"],
        run_id=row["run_id"],
        model=row["model"],
        demand_class=row["demand_class"],
        why=row["why"],
        scores=from_json(row["scored"]),
        version=row["version"],
        overrides=overrides,
        levels=list(QUANTILES),
        days=[
            ForecastOfDay(
                day=day,
                mean=means[n],
                model_mean=row["mean"][n],
                quantiles=[each[n] for each in daily],
                cumulative=[each[n] for each in cumulative],
                ordered=ordered.get(day, 0),
            )
            for n, day in enumerate(days)
        ],
    )
