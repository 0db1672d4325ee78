"""What planners see of a series, and the queries behind it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis import Cursor, Page
from forecast_service.calendar.store import read as read_calendar
from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import QUANTILES
from forecast_service.forecasts.publish import rows_of
from forecast_service.places import Zones
from forecast_service.runs.request import latest_origin
from forecast_service.series.model import SUMMED_DAYS, Line, Plot

SERIES: Final[Cursor[UUID]] = Cursor("series", UUID)
RECENT: Final = 28
PAST_FORECASTS: Final = 4

PAGE: Final = """
    SELECT id, item_id, location_id, region, published_origin FROM series
    WHERE ($1::text IS NULL OR item_id = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
"""

LAST: Final = """
    SELECT series.id, series.item_id, series.location_id, series.region, demand_items.category,
           coalesce(demand_items.unit_of_measure, 'each') AS unit_of_measure, last.origin, last.made_at, last.run_id,
           last.model, last.demand_class, last.why, last.scores::text AS scores,
           coalesce(adjusted.mean, last.mean) AS mean, coalesce(adjusted.quantiles, last.quantiles) AS quantiles,
           coalesce(adjusted.cumulative, last.cumulative) AS cumulative, last.mean AS model_mean, adjusted.overrides
    FROM series LEFT JOIN demand_items USING (item_id) LEFT JOIN LATERAL (
        SELECT * FROM forecasts WHERE series_id = series.id ORDER BY made_at DESC, origin DESC LIMIT 1
    ) AS last ON true LEFT JOIN LATERAL (
        SELECT * FROM adjusted_forecasts AS after
        WHERE after.series_id = series.id AND after.origin = last.origin AND after.run_id = last.run_id
        ORDER BY after.made_at DESC LIMIT 1
    ) AS adjusted ON true
    WHERE series.id = $1
"""

HISTORY: Final = f"""
    SELECT min(day) AS first_day, max(day) AS last_day, count(*) AS days_with_demand,
           coalesce(sum(quantity), 0)::bigint AS quantity,
           (coalesce(sum(quantity) FILTER (WHERE day >= $4::date - {RECENT}), 0) / {RECENT}::numeric)::float8 AS recent
    FROM ({DAYS}) AS days
    WHERE item_id = $1 AND location_id = $2 AND region = $3 AND quantity > 0
          AND day < coalesce($4::date, 'infinity')
"""

CHOICE: Final = "SELECT kind, models, weights, since, origin, run_id, error FROM choices WHERE series_id = $1"

DEMAND: Final = f"""
    SELECT day, sum(quantity)::bigint AS quantity FROM ({DAYS}) AS days
    WHERE item_id = $1 AND location_id = $2 AND region = $3 AND day BETWEEN $4 AND $5 GROUP BY day
"""

PAST: Final = """
    SELECT origin, mean FROM forecasts WHERE series_id = $1 AND origin < $2 AND version IS NOT NULL
    ORDER BY origin DESC, made_at DESC LIMIT $3
"""

PROMOTIONS: Final = """
    SELECT DISTINCT day FROM imported_demand
    WHERE item_id = $1 AND location_id IN ('', $2) AND region IN ('', $3) AND promotion AND day BETWEEN $4 AND $5
    ORDER BY day
"""

# What a person has undone is learnt from as it is. That a series has ended is not about one day.
CLEANED: Final = """
    SELECT day FROM cleaning_decisions
    WHERE series_id = $1 AND day BETWEEN $2 AND $3 AND verdict IS DISTINCT FROM 'undone' AND rule <> 'ended'
    ORDER BY day
"""


class NoSuchSeries(Exception):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"There is no series {id}: GET /v1/series lists all of them")


class NoForecastOfSeries(Exception):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"No run has made a forecast of the series {id} yet: start a run")


class SeriesSummary(BaseModel):
    series_id: UUID
    item_id: str
    location_id: str | None
    region: str | None
    published_origin: Annotated[date | None, Field(description="The origin of the last published forecast")]


class HistoryOfSeries(BaseModel):
    """The demand before the origin of the last forecast, or all of it if there is no forecast."""

    first_day: date | None
    last_day: Annotated[date | None, Field(description="The last day with demand")]
    days_with_demand: int
    quantity: Annotated[int, Field(description="The sum, in base units")]
    recent: Annotated[float, Field(description=f"The mean of the last {RECENT} days before the origin")]


class Competitor(BaseModel):
    model: str
    error: Annotated[
        float,
        Field(
            description="The error in the backtest (RMSSE, shrunk towards that of the class) as a multiple of that of "
            "seasonal naive; below 1 is better"
        ),
    ]
    used: Annotated[bool, Field(description="Whether the forecast is by this model, or combines it with others")]


class LastForecast(BaseModel):
    origin: date
    horizon: int
    made_at: datetime
    run_id: UUID
    model: Annotated[str, Field(description="A model, or a combination such as `median`")]
    combined: Annotated[list[str], Field(description="The best models of a combination")]
    demand_class: str
    why: Annotated[str | None, Field(description="The reason if it is not by the model that would have been chosen")]
    competed: Annotated[list[Competitor], Field(description="The models that competed, the best first")]
    expected: Annotated[float, Field(description="The mean demand of a day")]


class ModelInUse(BaseModel):
    model: str
    weight: Annotated[float, Field(description="Of the best model of a weighted mean it is 1; the others are relative")]


class ChoiceOfSeries(BaseModel):
    """Nightly runs only fit these models again. They are chosen anew each week, on drift, and on request."""

    kind: Annotated[str, Field(description="`single`, `weighted` (a mean) or `median`")]
    models: Annotated[list[ModelInUse], Field(description="The best first")]
    since: Annotated[datetime, Field(description="When these models were chosen; later choices kept them")]
    origin: Annotated[date, Field(description="The origin of the last choice")]
    run_id: UUID
    error: Annotated[
        float | None,
        Field(description="The mean absolute error of a day in the first week, in the past; drift is measured by it"),
    ]


class SeriesView(SeriesSummary):
    unit_of_measure: str
    category: str | None
    history: HistoryOfSeries
    forecast: Annotated[LastForecast | None, Field(description="null: no run has made one yet")]
    choice: Annotated[ChoiceOfSeries | None, Field(description="null: no run has chosen models in full yet")]


async def page(sql: asyncpg.Connection, item_id: str | None, after: UUID | None, limit: int) -> Page[SeriesSummary]:
    rows = await sql.fetch(PAGE, item_id, after, limit + 1)
    found = [SeriesSummary(**_named(row), published_origin=row["published_origin"]) for row in rows[:limit]]
    return Page(items=found, next=SERIES.encode(found[-1].series_id) if len(rows) > limit else None)


async def get(sql: asyncpg.Connection, id: UUID) -> SeriesView:
    """Return a series, and how its models scored. Raise NoSuchSeries."""
    row = await sql.fetchrow(LAST, id)
    if row is None:
        raise NoSuchSeries(id)
    history = await sql.fetchrow(HISTORY, row["item_id"], row["location_id"], row["region"], row["origin"])
    return SeriesView(
        **_named(row),
        published_origin=await sql.fetchval("SELECT published_origin FROM series WHERE id = $1", id),
        unit_of_measure=row["unit_of_measure"],
        category=row["category"],
        history=HistoryOfSeries(**dict(history)),
        forecast=None if row["origin"] is None else _forecast(row),
        choice=None if (choice := await sql.fetchrow(CHOICE, id)) is None else _choice(choice),
    )


async def plot(sql: asyncpg.Connection, zones: Zones, id: UUID, days: int, width: int, height: int) -> Plot:
    """Return the plot of the last forecast with `days` of demand before it. Raise NoSuchSeries, NoForecastOfSeries."""
    row = await sql.fetchrow(LAST, id)
    if row is None:
        raise NoSuchSeries(id)
    if row["origin"] is None:
        raise NoForecastOfSeries(id)
    series, origin, horizon = (row["item_id"], row["location_id"], row["region"]), row["origin"], len(row["mean"])
    first, last = origin - timedelta(days=days), origin + timedelta(days=horizon - 1)
    quantities = {each["day"]: each["quantity"] for each in await sql.fetch(DEMAND, *series, first, last)}
    whole = await latest_origin(sql, zones)
    known = min(last, max(origin, whole or origin) - timedelta(days=1))
    past = await sql.fetch(PAST, id, origin, PAST_FORECASTS)
    holidays = (await read_calendar(sql)).between(first, last)
    marks = {kind: [day for day, own in holidays.items() if own.kind == kind] for kind in ("holiday", "closed")} | {
        "promotion": [each["day"] for each in await sql.fetch(PROMOTIONS, *series, first, last)],
        "cleaned": [each["day"] for each in await sql.fetch(CLEANED, id, first, last)],
    }
    cumulative = rows_of(row["cumulative"])
    return Plot(
        name=" ".join(filter(None, series)),
        unit=row["unit_of_measure"],
        model=row["model"],
        demand=Line(first, [float(quantities.get(day, 0)) for day in _between(first, known)]),
        ordered={day: float(quantity) for day, quantity in sorted(quantities.items()) if day > known},
        mean=Line(origin, row["mean"]),
        without_overrides=Line(origin, row["model_mean"]) if row["overrides"] else None,
        fan=dict(zip(QUANTILES, rows_of(row["quantiles"]), strict=True)),
        expected={
            level: sums[min(horizon, SUMMED_DAYS) - 1] for level, sums in zip(QUANTILES, cumulative, strict=True)
        },
        past=[_since(first, Line(each["origin"], each["mean"])) for each in past],
        marks={kind: each for kind, each in marks.items() if each},
        width=width,
        height=height,
    )


def _named(row: Any) -> dict[str, Any]:
    return {
        "series_id": row["id"],
        "item_id": row["item_id"],
        "location_id": row["location_id"] or None,
        "region": row["region"] or None,
    }


def _forecast(row: Any) -> LastForecast:
    model, _, combined = row["model"].partition(": ")
    used = combined.split(", ") if combined else []
    scores: Mapping[str, float] = from_json(row["scores"])
    return LastForecast(
        origin=row["origin"],
        horizon=len(row["mean"]),
        made_at=row["made_at"],
        run_id=row["run_id"],
        model=model,
        combined=used,
        demand_class=row["demand_class"],
        why=row["why"],
        competed=[
            Competitor(model=name, error=scores[name], used=name in (used or [model]))
            for name in sorted(scores, key=lambda name: (scores[name], name))
        ],
        expected=sum(row["mean"]) / len(row["mean"]),
    )


def _choice(row: Any) -> ChoiceOfSeries:
    weights = zip(row["models"], row["weights"], strict=True)
    return ChoiceOfSeries(
        **{name: row[name] for name in ("kind", "since", "origin", "run_id", "error")},
        models=[ModelInUse(model=name, weight=weight) for name, weight in weights],
    )


def _between(first: date, last: date) -> Sequence[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _since(first: date, line: Line) -> Line:
    """Return the line without the days before `first`."""
    before = max(0, (first - line.first).days)
    return Line(line.first + timedelta(days=before), line.values[before:])
