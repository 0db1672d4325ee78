"""Read and write introductions."""

from collections.abc import Collection
from typing import Any, Final

import asyncpg

from crossdock_chassis import Unit
from forecast_service.introductions.model import Base, Introduction

LOCK: Final = "LOCK TABLE introductions IN SHARE ROW EXCLUSIVE MODE"
KNOWN: Final = "SELECT item_id FROM demand_items WHERE item_id = ANY ($1::text[])"
ALL: Final = "SELECT * FROM introductions ORDER BY item_id"

# UNION drops rows that were found before, so a circle would end too.
BEHIND: Final = """
    WITH RECURSIVE behind AS (
        SELECT * FROM introductions WHERE item_id = ANY ($1::text[])
        UNION
        SELECT introductions.* FROM behind JOIN introductions ON introductions.item_id = ANY (behind.bases)
    )
    SELECT * FROM behind
"""

KEEP: Final = """
    INSERT INTO introductions (item_id, successor, bases, weights, scale, start, ramp_days, changed_at, changed_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (item_id) DO UPDATE
    SET successor = excluded.successor, bases = excluded.bases, weights = excluded.weights, scale = excluded.scale,
        start = excluded.start, ramp_days = excluded.ramp_days, changed_at = excluded.changed_at,
        changed_by = excluded.changed_by
"""

REMOVE: Final = "DELETE FROM introductions WHERE item_id = $1"


async def lock(unit: Unit) -> None:
    """Let one introduction change at a time: two that are sound alone may make a circle together."""
    await unit.sql.execute(LOCK)


async def known_items(sql: asyncpg.Connection, items: Collection[str]) -> set[str]:
    return {row["item_id"] for row in await sql.fetch(KNOWN, list(items))}


async def behind(sql: asyncpg.Connection, items: Collection[str]) -> dict[str, Introduction]:
    """Return the introductions of these items, and of all items behind them."""
    return {row["item_id"]: introduction(row) for row in await sql.fetch(BEHIND, list(items))}


async def read(sql: asyncpg.Connection) -> dict[str, Introduction]:
    return {row["item_id"]: introduction(row) for row in await sql.fetch(ALL)}


async def keep(unit: Unit, new: Introduction, by: str) -> None:
    items, weights = [each.item_id for each in new.bases], [each.weight for each in new.bases]
    await unit.sql.execute(
        KEEP, new.item_id, new.successor, items, weights, new.scale, new.start, new.ramp_days, unit.now, by
    )


async def remove(unit: Unit, item_id: str) -> None:
    await unit.sql.execute(REMOVE, item_id)


def introduction(row: Any) -> Introduction:
    bases = tuple(Base(item, weight) for item, weight in zip(row["bases"], row["weights"], strict=True))
    return Introduction(row["item_id"], bases, row["successor"], row["scale"], row["start"], row["ramp_days"])
