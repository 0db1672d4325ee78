"""Days on which an item was out of stock: what was asked for is a lower bound of what was wanted."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

import asyncpg

from forecast_service.places import Zones

# Both need `zoned (id, zone)`: series, and the time zone of their days. $1 and $2 are the first and last day.
# A series of the whole item or of a region is out of stock if the item is nowhere.
OUT_OF_STOCK: Final = """
    SELECT id, day FROM (
        SELECT zoned.id, day::date AS day, sum(
            least(coalesce(ended, now()), (day + interval '1 day') AT TIME ZONE zone)
            - greatest(began, day AT TIME ZONE zone)
        ) AS out
        FROM zoned JOIN series ON series.id = zoned.id JOIN stock_outs USING (item_id, location_id)
        CROSS JOIN LATERAL generate_series(
            greatest((began AT TIME ZONE zone)::date, $1::date)::timestamp,
            least((coalesce(ended, now()) AT TIME ZONE zone)::date, $2::date)::timestamp, interval '1 day'
        ) AS day
        GROUP BY zoned.id, day
    ) AS outs
    WHERE out >= interval '1 hour'
    UNION
    SELECT id, day FROM (
        SELECT zoned.id, row.day, row.in_stock IS FALSE AS out,
               (row.location_id, row.region) = (series.location_id, series.region) AS own
        FROM zoned JOIN series ON series.id = zoned.id JOIN imported_demand AS row USING (item_id)
        WHERE row.day BETWEEN $1::date AND $2::date AND row.day < coalesce((SELECT day FROM cut_over), 'infinity')
              AND ((row.location_id, row.region) = (series.location_id, series.region)
                   OR (series.location_id, series.region) = ('', ''))
    ) AS imported
    GROUP BY id, day HAVING CASE WHEN bool_or(own) THEN bool_or(own AND out) ELSE bool_and(out) END
"""

REGIONS: Final = "SELECT id, region FROM series WHERE id = ANY ($1::uuid[])"

OF_SERIES: Final = f"WITH zoned AS (SELECT * FROM unnest($3::uuid[], $4::text[]) AS zoned (id, zone)) {OUT_OF_STOCK}"

OF_PLACE: Final = f"""
    WITH zoned AS (
        SELECT id, $3::text AS zone FROM series
        WHERE ($4::text IS NULL OR item_id = $4) AND location_id = $5 AND region = $6
    )
    SELECT series.item_id, days.day FROM ({OUT_OF_STOCK}) AS days JOIN series USING (id)
"""


async def days_out_of_stock(
    sql: asyncpg.Connection, zones: Zones, series: Sequence[UUID], first: date, last: date
) -> set[tuple[UUID, date]]:
    """Return the series and days on which their items were out of stock. `zones` are those of the days."""
    of = {row["id"]: zones.zone(row["region"]).key for row in await sql.fetch(REGIONS, series)}
    return {(row["id"], row["day"]) for row in await sql.fetch(OF_SERIES, first, last, list(of), list(of.values()))}


async def out_of_stock(
    sql: asyncpg.Connection, first: date, last: date, item_id: str | None, location_id: str, region: str, zone: str
) -> set[tuple[str, date]]:
    """Return the items and days on which they were out of stock, in the time zone of their days."""
    rows = await sql.fetch(OF_PLACE, first, last, zone, item_id, location_id, region)
    return {(row["item_id"], row["day"]) for row in rows}
