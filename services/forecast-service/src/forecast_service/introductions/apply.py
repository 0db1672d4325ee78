"""Give histories of new items what they take over, and shape forecasts as their demand begins."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from forecast_service.demand.history import DAYS, histories
from forecast_service.fitting.series import History, Outcome
from forecast_service.introductions import store
from forecast_service.introductions.model import (
    NEW,
    SHAPE_DAYS,
    Carried,
    Category,
    Introduction,
    carry,
    like_category,
    shaped,
    weights,
)
from forecast_service.places import series_id

PLACES: Final = "SELECT id, item_id, location_id, region FROM series WHERE id = ANY ($1::uuid[])"

OF_CATEGORIES: Final = "SELECT item_id FROM demand_items WHERE category = ANY ($1::text[])"
SOLD: Final = ", ".join(
    f"coalesce(sum(quantity) FILTER (WHERE day > $2::date - $3::int AND extract(isodow FROM day) = {weekday}), 0)"
    for weekday in range(1, 8)
)
CATEGORIES: Final = f"""
    SELECT category, location_id, region, count(DISTINCT item_id) AS items,
           ARRAY[{SOLD}]::float8[] AS sold
    FROM ({DAYS}) AS days JOIN demand_items USING (item_id)
    WHERE days.item_id = ANY ($1::text[]) AND day <= $2::date
    GROUP BY category, location_id, region
"""


async def inherited(sql: asyncpg.Connection) -> list[tuple[str, str, float]]:
    """Return each introduced item with each item behind it and its weight."""
    known = weights(await store.read(sql))
    return [(item, base, weight) for item, behind in known.items() for base, weight in behind.items()]


async def carried(
    sql: asyncpg.Connection, found: Sequence[History], origin: date, horizon: int
) -> tuple[list[History], dict[str, Carried]]:
    """Return the histories with what they take over, and how to shape the forecast of each series."""
    places = {str(row["id"]): tuple(row)[1:] for row in await sql.fetch(PLACES, [UUID(each.series) for each in found])}
    stated = await store.behind(sql, [item for item, *_ in places.values()])
    behind = {item: each.keys() for item, each in weights(stated).items()}
    needed = {series_id(base, *place) for item, *place in places.values() for base in behind.get(item, ())}
    there = [row["id"] for row in await sql.fetch(PLACES, list(needed - set(map(UUID, places))))]
    known = {each.series: each for each in [*found, *await histories(sql, there, origin - timedelta(days=1))]}
    made: dict[str, Carried] = {}

    def of(item: str, place: Sequence[str]) -> Carried:
        id = str(series_id(item, *place))
        if id not in made:
            own = known.get(id) or History(id, origin, [])
            introduction: Introduction | None = stated.get(item)
            made[id] = Carried(own)
            if introduction is not None:
                bases = [of(base.item_id, place).history for base in introduction.bases]
                made[id] = carry(own, introduction, bases, origin, horizon)
        return made[id]

    result = {id: of(item, place) for id, (item, *place) in places.items()}
    alone = [each for each in found if not result[each.series].factors]
    result |= await _like_categories(sql, alone, places, origin, horizon)
    return [result[each.series].history for each in found], result


async def _like_categories(
    sql: asyncpg.Connection,
    found: Iterable[History],
    places: Mapping[str, Sequence[str]],
    origin: date,
    horizon: int,
) -> dict[str, Carried]:
    """Return the histories of new items, with what their category makes of their forecasts."""
    new = [each for each in found if 0 < len(each.values) < NEW and each.category is not None]
    if not new:
        return {}
    items = [row["item_id"] for row in await sql.fetch(OF_CATEGORIES, list({each.category for each in new}))]
    rows = await sql.fetch(CATEGORIES, items, origin - timedelta(days=1), SHAPE_DAYS)
    known = {tuple(row)[:3]: Category(row["sold"], row["items"]) for row in rows}
    return {
        each.series: like_category(each, category, origin, horizon)
        for each in new
        if (category := known.get((each.category, *places[each.series][1:]))) is not None
    }


def shape(outcomes: Iterable[Outcome], known: Mapping[str, Carried]) -> list[Outcome]:
    """Shape the forecasts of new items."""
    return [shaped(each, known[each.series]) for each in outcomes]
