"""Read what a reconciliation needs, and keep what it made."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from crossdock_chassis import Unit
from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import QUANTILES
from forecast_service.hierarchy.model import NORMAL_80, ItemForecast, Reconciled

P10: Final = QUANTILES.index(0.1)
P90: Final = QUANTILES.index(0.9)

ITEMS: Final = f"""
    SELECT series.id, demand_items.category, forecasts.mean,
           (SELECT (sum(value) FILTER (WHERE (n - 1) / cardinality(mean) = {P90})
                    - sum(value) FILTER (WHERE (n - 1) / cardinality(mean) = {P10})) / cardinality(mean)
            FROM unnest(quantiles) WITH ORDINALITY AS each (value, n)) / {NORMAL_80} AS spread
    FROM forecasts JOIN series ON series.id = forecasts.series_id LEFT JOIN demand_items USING (item_id)
    WHERE forecasts.run_id = $1 AND series.id = ANY ($2::uuid[])
    ORDER BY series.id
"""

# Demand of all items of a category, also of discontinued ones: others take their place.
DEMAND: Final = f"""
    SELECT category, array_agg(day ORDER BY day) AS days, array_agg(quantity ORDER BY day) AS quantities
    FROM (
        SELECT coalesce(category, '') AS category, day, sum(quantity)::float8 AS quantity
        FROM ({DAYS}) AS days JOIN demand_items USING (item_id)
        WHERE location_id = $1 AND region = $2 AND day <= $3 AND quantity <> 0
              AND ($4::text IS NULL OR category = $4)
        GROUP BY 1, 2
    ) AS sums
    GROUP BY category ORDER BY category
"""

PLACE: Final = "SELECT location_id, region FROM series WHERE id = ANY ($1::uuid[]) LIMIT 1"

KEEP: Final = """
    INSERT INTO forecast_sums (run_id, location_id, region, category, origin, made_at, items, method, why, model, mean,
                               quantiles, cumulative)
    SELECT $1, $2, $3, category, $4, $5, items, method, why, model, mean, quantiles, cumulative
    FROM json_to_recordset($6::json) AS new (category text, items bigint, method text, why text, model text,
         mean double precision[], quantiles double precision[], cumulative double precision[])
"""

KEEP_COHERENT: Final = """
    INSERT INTO coherent_means (run_id, series_id, mean)
    SELECT $1, series_id, mean FROM json_to_recordset($2::json) AS new (series_id uuid, mean double precision[])
"""


async def items(sql: asyncpg.Connection, run: UUID, series: Sequence[UUID]) -> list[ItemForecast]:
    """Return the forecasts that a run made of some series."""
    rows = await sql.fetch(ITEMS, run, series)
    return [ItemForecast(row["id"], row["category"], row["mean"], row["spread"]) for row in rows]


async def demand(
    sql: asyncpg.Connection, place: tuple[str, str], category: str | None, until: date
) -> dict[str, dict[date, float]]:
    """Return the demand of each category by day. That of items without a category has an empty name."""
    rows = await sql.fetch(DEMAND, *place, until, category)
    return {row["category"]: dict(zip(row["days"], row["quantities"], strict=True)) for row in rows}


async def place_of(sql: asyncpg.Connection, series: Sequence[UUID]) -> tuple[str, str]:
    row = await sql.fetchrow(PLACE, series)
    return row["location_id"], row["region"]


async def keep(unit: Unit, run: UUID, made: Reconciled) -> None:
    nodes = [
        {
            "category": node.name,
            "items": node.items,
            "method": node.method,
            "why": node.why,
            "model": node.model,
            "mean": list(node.mean),
            "quantiles": node.fan and [value for row in node.fan.quantiles for value in row],
            "cumulative": node.fan and [value for row in node.fan.cumulative for value in row],
        }
        for node in made.nodes
    ]
    where = (made.location_id, made.region, made.origin, unit.now)
    await unit.sql.execute(KEEP, run, *where, to_json(nodes).decode())
    if made.coherent:
        rows = [{"series_id": series, "mean": list(mean)} for series, mean in made.coherent]
        await unit.sql.execute(KEEP_COHERENT, run, to_json(rows).decode())
