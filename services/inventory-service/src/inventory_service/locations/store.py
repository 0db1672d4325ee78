"""Read and write locations."""

from collections.abc import Collection, Sequence

from crossdock_chassis import Unit
from inventory_service.locations.model import Location

INSERT = """
    INSERT INTO locations (location_id, rank, name, country, version, changed_at)
    SELECT location_id, rank, name, country, 1, $5
    FROM unnest($1::text[], $2::int[], $3::text[], $4::text[]) AS new (location_id, rank, name, country)
    ORDER BY location_id
    ON CONFLICT DO NOTHING
    RETURNING location_id
"""

LOCK = """
    SELECT location_id, rank, name, country, version FROM locations
    WHERE location_id = ANY($1::text[]) ORDER BY location_id FOR NO KEY UPDATE
"""

UPDATE = """
    UPDATE locations SET rank = new.rank, name = new.name, country = new.country, version = new.version, changed_at = $6
    FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bigint[])
         AS new (location_id, rank, name, country, version)
    WHERE locations.location_id = new.location_id
"""


async def insert(unit: Unit, locations: Sequence[Location]) -> set[str]:
    """Insert new locations and return their ids. Locations that exist stay unchanged."""
    rows = await unit.sql.fetch(INSERT, *_columns(locations)[:4], unit.now)
    return {row["location_id"] for row in rows}


async def lock(unit: Unit, ids: Collection[str]) -> dict[str, Location]:
    """Lock and return the locations that exist."""
    return {row["location_id"]: Location(**row) for row in await unit.sql.fetch(LOCK, sorted(ids))}


async def update(unit: Unit, locations: Sequence[Location]) -> None:
    await unit.sql.execute(UPDATE, *_columns(locations), unit.now)


def _columns(locations: Sequence[Location]) -> tuple[list[str], list[int], list[str], list[str | None], list[int]]:
    return (
        [location.location_id for location in locations],
        [location.rank for location in locations],
        [location.name for location in locations],
        [location.country for location in locations],
        [location.version for location in locations],
    )
