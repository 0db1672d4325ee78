"""Mark the days of histories: out of stock, unknown, or judged by a person."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from datetime import date
from math import nan
from typing import Final
from uuid import UUID

import asyncpg

from forecast_service.cleaning.model import feed_down
from forecast_service.demand.censored import days_out_of_stock
from forecast_service.demand.history import DAYS
from forecast_service.fitting.series import History, Rule
from forecast_service.places import Zones

# An import that states days without demand, and more of them than it leaves out, does not mean zero by leaving out.
ABSENT: Final = """
    WITH rows AS MATERIALIZED (
        SELECT series.id, row.day, row.quantity = 0 AND row.in_stock IS NOT FALSE AS zero
        FROM series JOIN imported_demand AS row USING (item_id, location_id, region)
        WHERE series.id = ANY ($1::uuid[]) AND row.day <= $2
              AND row.day < coalesce((SELECT day FROM cut_over), 'infinity')
    ), spans AS (
        SELECT id, min(day) AS first, max(day) AS last, max(day) - min(day) + 1 - count(*) AS absent,
               count(*) FILTER (WHERE zero) AS zeros
        FROM rows GROUP BY id
    )
    SELECT spans.id, at::date AS day
    FROM spans CROSS JOIN LATERAL generate_series(first::timestamp, last::timestamp, interval '1 day') AS at
    WHERE absent > 0 AND zeros > absent
          AND NOT EXISTS (SELECT FROM rows WHERE rows.id = spans.id AND rows.day = at::date)
"""

FEED: Final = f"""
    SELECT day, count(DISTINCT item_id) AS items FROM ({DAYS}) AS days
    WHERE location_id = '' AND region = '' AND quantity > 0 AND day <= $1 GROUP BY day
"""

VERDICTS: Final = """
    SELECT series_id, day, verdict, after FROM cleaning_decisions
    WHERE series_id = ANY ($1::uuid[]) AND verdict IS NOT NULL
"""


class Marker:
    """Marks histories. It reads once per occasion, such as a run, on which days the whole feed was down."""

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self._down: tuple[Hashable, frozenset[date]] = (None, frozenset())

    async def mark(
        self,
        sql: asyncpg.Connection,
        occasion: Hashable,
        histories: Sequence[History],
        until: date,
        closed: Collection[date],
    ) -> list[History]:
        """Return the histories with what is known about their days. A day that is unknown becomes `nan`."""
        if self._down[0] != occasion:
            items = {row["day"]: row["items"] for row in await sql.fetch(FEED, until)}
            self._down = occasion, feed_down(items, until, closed)
        ids = [UUID(each.series) for each in histories]
        first = min((each.start for each in histories), default=until)
        censored, absent, kept = (defaultdict[UUID, set[date]](set) for _ in range(3))
        pinned: dict[UUID, dict[date, float]] = defaultdict(dict)
        for id, day in await days_out_of_stock(sql, self._zones, ids, first, until):
            censored[id].add(day)
        for id, day in await sql.fetch(ABSENT, ids, until):
            absent[id].add(day)
        for id, day, verdict, after in await sql.fetch(VERDICTS, ids):
            if verdict == "undone":
                kept[id].add(day)
            else:
                pinned[id][day] = after
        found = []
        for id, each in zip(ids, histories, strict=True):
            missing = _missing(each, self._down[1] - kept[id], absent[id] - kept[id])
            values = [*each.values]
            for day in missing:
                values[(day - each.start).days] = nan
            found.append(
                replace(
                    each,
                    values=values,
                    missing=missing,
                    censored=frozenset(censored[id]),
                    kept=frozenset(kept[id]),
                    pinned=pinned[id],
                )
            )
        return found


def _missing(history: History, down: Collection[date], absent: Collection[date]) -> dict[date, Rule]:
    """Return why days are unknown. A day with any demand is known."""
    end = len(history.values)
    found: dict[date, Rule] = {day: "row_missing" for day in absent}
    found |= {day: "feed_down" for day in down}
    places = {day: (day - history.start).days for day in sorted(found)}
    return {day: found[day] for day, n in places.items() if 0 <= n < end and history.values[n] == 0}
