"""Read the demand of series by day: imported days, and after them the days that orders counted."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from crossdock_chassis import columns
from forecast_service.fitting.series import History
from forecast_service.places import series_id

RECENT_DAYS: Final = 56
DIVISIBLE: Final = frozenset({"kg", "l", "m"})
"""Base units that are measured and not counted. Their quantities are whole, and their forecasts need not be."""

# A row of the whole item replaces the sum of its locations, and these replace the sum of its regions.
IMPORTED: Final = """
    SELECT item_id, location_id, region, day, quantity FROM imported_demand
    UNION ALL
    SELECT item_id, '', '', day, sum(quantity)::bigint FROM imported_demand AS part
    WHERE location_id <> '' AND NOT EXISTS (
        SELECT FROM imported_demand AS whole
        WHERE whole.item_id = part.item_id AND whole.location_id = '' AND whole.region = '' AND whole.day = part.day
    )
    GROUP BY item_id, day
    UNION ALL
    SELECT item_id, '', '', day, sum(quantity)::bigint FROM imported_demand AS part
    WHERE region <> '' AND NOT EXISTS (
        SELECT FROM imported_demand AS other
        WHERE other.item_id = part.item_id AND other.region = '' AND other.day = part.day
    )
    GROUP BY item_id, day
"""

# Orders count from the cut-over on. Without one, they count from the day after the item's last imported day.
DAYS: Final = f"""
    WITH imported AS ({IMPORTED}), last AS (SELECT item_id, max(day) AS day FROM imported_demand GROUP BY item_id)
    SELECT item_id, location_id, region, day, quantity FROM imported
    WHERE day < coalesce((SELECT day FROM cut_over), 'infinity')
    UNION ALL
    SELECT item_id, location_id, region, day, quantity FROM demand_days
    WHERE day >= coalesce((SELECT day FROM cut_over),
                          (SELECT day + 1 FROM last WHERE last.item_id = demand_days.item_id), '-infinity')
"""

OF_SERIES: Final = f"""
    SELECT series.id, days.day, days.quantity
    FROM series JOIN ({DAYS}) AS days USING (item_id, location_id, region)
    WHERE series.id = ANY ($1::uuid[]) AND days.item_id = ANY ($2::text[]) AND days.day <= $3 AND days.quantity <> 0
    ORDER BY series.id, days.day
"""

SERIES: Final = """
    SELECT series.id, series.item_id, demand_items.unit_of_measure, demand_items.category
    FROM series LEFT JOIN demand_items USING (item_id)
    WHERE series.id = ANY ($1::uuid[])
"""

BY_VALUE: Final = f"""
    SELECT days.item_id,
           coalesce(sum(days.quantity) FILTER (WHERE days.day > $1::date - $2::int), 0)::float8 / $2 AS recent
    FROM ({DAYS}) AS days JOIN demand_items USING (item_id)
    WHERE days.location_id = '' AND days.region = '' AND days.day <= $1::date AND days.quantity > 0
          AND demand_items.status = 'active'
          AND ($3::text IS NULL OR starts_with(days.item_id, $3)) AND ($4::text IS NULL OR demand_items.category = $4)
    GROUP BY days.item_id
    ORDER BY recent DESC, days.item_id
"""

REGISTER: Final = """
    INSERT INTO series (id, item_id, location_id, region)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, item_id, location_id, region)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""


async def find(
    sql: asyncpg.Connection, *, item_prefix: str | None = None, category: str | None = None, until: date
) -> list[tuple[UUID, float]]:
    """Return the series of active items with any demand up to `until`, those with the most recent demand first.

    The second value is the mean quantity of the last 56 days. New series are stored.
    """
    rows = await sql.fetch(BY_VALUE, until, RECENT_DAYS, item_prefix, category)
    found = [(series_id(row["item_id"]), row["item_id"], row["recent"]) for row in rows]
    if found:
        await sql.execute(REGISTER, *columns([(id, item, "", "") for id, item, _ in found]))
    return [(id, recent) for id, _, recent in found]


async def histories(sql: asyncpg.Connection, series: Sequence[UUID], until: date) -> list[History]:
    """Return the demand of each series from its first day with any up to `until`. Days without demand are zero.

    The order is that of `series`. A series without demand has an empty history.
    """
    known = {row["id"]: row for row in await sql.fetch(SERIES, series)}
    items = sorted({row["item_id"] for row in known.values()})
    days: dict[UUID, dict[date, int]] = defaultdict(dict)
    for id, day, quantity in await sql.fetch(OF_SERIES, series, items, until):
        days[id][day] = quantity
    found = []
    for id in series:
        first = min(days[id], default=until + timedelta(days=1))
        values = [float(days[id].get(first + timedelta(days=n), 0)) for n in range((until - first).days + 1)]
        unit = known[id]["unit_of_measure"]
        found.append(History(str(id), first, values, whole=unit not in DIVISIBLE, category=known[id]["category"]))
    return found
