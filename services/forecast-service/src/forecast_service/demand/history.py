"""Read the demand of series by day: imported days, and after them the days that orders counted."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from crossdock_chassis import columns
from forecast_service.fitting.series import History
from forecast_service.places import LEVELS, SeriesLevel, series_id

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

# One row for a series: a row for each of its days would take longer to read than to find.
OF_SERIES: Final = f"""
    SELECT series.id, array_agg(days.day - $3::date) AS days, array_agg(days.quantity::float8) AS quantities
    FROM series JOIN ({DAYS}) AS days USING (item_id, location_id, region)
    WHERE series.id = ANY ($1::uuid[]) AND days.item_id = ANY ($2::text[]) AND days.day <= $3 AND days.quantity <> 0
    GROUP BY series.id
"""

SERIES: Final = """
    SELECT series.id, series.item_id, demand_items.unit_of_measure, demand_items.category
    FROM series LEFT JOIN demand_items USING (item_id)
    WHERE series.id = ANY ($1::uuid[])
"""

BY_VALUE: Final = f"""
    SELECT days.item_id, days.location_id, days.region,
           coalesce(sum(days.quantity) FILTER (WHERE days.day > $1::date - $2::int), 0)::float8 / $2 AS recent
    FROM (
        SELECT item_id, location_id, region, day, quantity::float8 FROM ({DAYS}) AS own
        UNION ALL
        SELECT behind.item_id, location_id, region, day, quantity * weight
        FROM unnest($6::text[], $7::text[], $8::float8[]) AS behind (item_id, base, weight)
        JOIN ({DAYS}) AS theirs ON theirs.item_id = behind.base
    ) AS days JOIN demand_items USING (item_id)
    WHERE days.day <= $1::date AND days.quantity > 0 AND demand_items.status = 'active'
          AND CASE WHEN days.location_id <> '' THEN 'location' WHEN days.region <> '' THEN 'region' ELSE 'item' END
              = ANY ($5::text[])
          AND ($3::text IS NULL OR starts_with(days.item_id, $3)) AND ($4::text IS NULL OR demand_items.category = $4)
    GROUP BY days.item_id, days.location_id, days.region
    ORDER BY days.region <> '', days.location_id <> '', recent DESC, days.item_id, days.location_id, days.region
"""

REGISTER: Final = """
    INSERT INTO series (id, item_id, location_id, region)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, item_id, location_id, region)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""


async def fetch_over_all_days(sql: asyncpg.Connection, query: str, *arguments: object) -> list[Any]:
    """Return the rows of a query that reads DAYS of many items.

    PostgreSQL expects few rows of it, and would read all of them in a nested loop. The series of a run took 10 s
    right after an import, and pairs of 3,000 items over 3 days took over 15 s.
    """
    await sql.execute("SET LOCAL enable_nestloop = off")
    rows: list[Any] = await sql.fetch(query, *arguments)
    await sql.execute("SET LOCAL enable_nestloop = on")
    return rows


async def find(
    sql: asyncpg.Connection,
    *,
    item_prefix: str | None = None,
    category: str | None = None,
    levels: Sequence[SeriesLevel] = LEVELS[:1],
    only: Collection[UUID] | None = None,
    inherited: Sequence[tuple[str, str, float]] = (),
    until: date,
) -> list[tuple[UUID, float]]:
    """Return the series of active items with any demand up to `until`.

    Whole items come first, then locations, then regions, and of these the ones with the most recent demand. The second
    value is the mean quantity of the last 56 days. `inherited` has items with the items whose demand, times a weight,
    counts for them too. New series are stored.
    """
    behind = columns(inherited) if inherited else ([], [], [])
    rows = await fetch_over_all_days(sql, BY_VALUE, until, RECENT_DAYS, item_prefix, category, levels, *behind)
    named = [(series_id(*place), *place, recent) for *place, recent in rows]
    found = [each for each in named if only is None or each[0] in only]
    if found:
        bases: dict[str, list[str]] = defaultdict(list)
        for item, base, _ in inherited:
            bases[item].append(base)
        theirs = {(base, *place) for _, item, *place, _ in found for base in bases[item]}
        new = {id: (id, *place) for id, *place, _ in found} | {
            id: (id, *each) for each in theirs if (id := series_id(*each))
        }
        await sql.execute(REGISTER, *columns(list(new.values())))
    return [(id, recent) for id, *_, recent in found]


async def histories(sql: asyncpg.Connection, series: Sequence[UUID], until: date) -> list[History]:
    """Return the demand of each series from its first day with any up to `until`. Days without demand are zero.

    The order is that of `series`. A series without demand has an empty history.
    """
    known = {row["id"]: row for row in await sql.fetch(SERIES, series)}
    items = sorted({row["item_id"] for row in known.values()})
    sold: dict[UUID, list[float]] = {}
    for id, days, quantities in await sql.fetch(OF_SERIES, series, items, until):
        sold[id] = [0.0] * (1 - min(days))
        for day, quantity in zip(days, quantities, strict=True):  # `until` is 0, and the day before it -1
            sold[id][day - 1] = quantity
    found = []
    for id in series:
        values, of = sold.get(id, []), known[id]
        first = until - timedelta(days=len(values) - 1)
        found.append(History(str(id), first, values, of["unit_of_measure"] not in DIVISIBLE, of["category"]))
    return found
