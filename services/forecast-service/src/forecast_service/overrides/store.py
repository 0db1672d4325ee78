"""Read and write overrides and what each series gets of them.

Publishing shares a lock, and a change of overrides excludes it. Otherwise a forecast that is being published could miss
the change, and mark the series as published.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from crossdock_chassis import Unit
from forecast_service.overrides.model import InForce, Target, Terms

CHANGING: Final = "LOCK TABLE overrides IN EXCLUSIVE MODE"
PUBLISHING: Final = "LOCK TABLE overrides IN ROW SHARE MODE"
WAKE: Final = "overrides"

IN_FORCE: Final = "status = 'in_force' AND (expires_at IS NULL OR expires_at > $1)"

OF_SERIES: Final = f"""
    SELECT override_parts.series_id, override_parts.daily, overrides.*
    FROM override_parts JOIN overrides ON overrides.id = override_parts.override_id
    WHERE {IN_FORCE} AND override_parts.series_id = ANY ($2::uuid[])
"""

OVERLAPPING: Final = f"""
    SELECT id, first_day, last_day FROM overrides
    WHERE {IN_FORCE} AND item_id IS NOT DISTINCT FROM $2 AND category IS NOT DISTINCT FROM $3
          AND location_id IS NOT DISTINCT FROM $6 AND first_day <= $5 AND last_day >= $4
    ORDER BY id LIMIT 1
"""

# The newest forecast of each active item. An index has the origins in their order.
FORECASTS: Final = """
    SELECT series.id, last.origin, last.mean
    FROM series JOIN demand_items USING (item_id) CROSS JOIN LATERAL (
        SELECT origin, mean FROM forecasts WHERE forecasts.series_id = series.id
        ORDER BY origin DESC, made_at DESC LIMIT 1
    ) AS last
    WHERE series.location_id = coalesce($3, '') AND series.region = '' AND demand_items.status = 'active'
          AND ($1::text IS NULL OR series.item_id = $1) AND ($2::text IS NULL OR demand_items.category = $2)
    ORDER BY series.id
"""

INSERT: Final = """
    INSERT INTO overrides (id, level, item_id, category, kind, value, first_day, last_day, why, requested_by,
                           requested_at, expires_at, series, forecast, location_id, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1)
"""

LOCK: Final = "SELECT * FROM overrides WHERE id = $1 FOR UPDATE"

END: Final = """
    UPDATE overrides SET status = $2, ended_by = $3, ended_at = $4, version = version + 1 WHERE id = $1 RETURNING *
"""

DUE_AGAIN: Final = "UPDATE override_parts SET published = false WHERE override_id = $1"

EXPIRED: Final = "SELECT id FROM overrides WHERE status = 'in_force' AND expires_at <= $1 ORDER BY id"

DUE: Final = "SELECT DISTINCT series_id FROM override_parts WHERE NOT published ORDER BY series_id LIMIT $1"

DONE: Final = "UPDATE override_parts SET published = true WHERE series_id = ANY ($1::uuid[]) AND NOT published"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest forecast of a series: a mean for each day from `origin` on."""

    series: UUID
    origin: date
    means: Sequence[float]


def target_of(row: Any) -> Target:
    return Target(row["item_id"], row["category"], row["location_id"])


def terms_of(row: Any) -> Terms:
    return Terms(row["kind"], row["value"], row["first_day"], row["last_day"])


async def in_force(unit: Unit, series: Sequence[UUID]) -> Mapping[UUID, Sequence[InForce]]:
    """Return the overrides of each series, and keep them from changing until the end of the unit."""
    await unit.sql.execute(PUBLISHING)
    found: dict[UUID, list[InForce]] = defaultdict(list)
    for row in await unit.sql.fetch(OF_SERIES, unit.now, series):
        found[row["series_id"]].append(in_force_of(row))
    return found


def in_force_of(row: Any) -> InForce:
    return InForce(row["id"], target_of(row).level, terms_of(row), row["daily"])


async def newest(sql: asyncpg.Connection, target: Target) -> list[Newest]:
    """Return the newest forecast of each active item of a target."""
    rows = await sql.fetch(FORECASTS, target.item_id, target.category, target.location_id)
    return [Newest(row["id"], row["origin"], row["mean"]) for row in rows]


async def insert_parts(unit: Unit, id: UUID, parts: Sequence[tuple[UUID, Sequence[float] | None]]) -> None:
    await unit.sql.copy_records_to_table(
        "override_parts",
        records=[(id, series, daily, False) for series, daily in parts],
        columns=["override_id", "series_id", "daily", "published"],
    )


async def end(unit: Unit, id: UUID, status: str, by: str | None) -> Any:
    """End an override, make its series due to be published without it, and return its row."""
    row = await unit.sql.fetchrow(END, id, status, by, unit.now)
    await unit.sql.execute(DUE_AGAIN, id)
    return row


async def expired(sql: asyncpg.Connection, at: datetime) -> list[UUID]:
    return [row["id"] for row in await sql.fetch(EXPIRED, at)]


async def due(sql: asyncpg.Connection, limit: int) -> list[UUID]:
    """Return series that are to be published because an override has changed."""
    return [row["series_id"] for row in await sql.fetch(DUE, limit)]


async def done(unit: Unit, series: Sequence[UUID]) -> None:
    await unit.sql.execute(DONE, series)
