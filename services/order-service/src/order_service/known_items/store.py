"""Read and write the table of known items."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from crossdock_chassis import Unit
from crossdock_events.items import ItemEvent


async def keep(unit: Unit, items: Mapping[str, tuple[ItemEvent, int]]) -> None:
    """Store the event and sequence of each item. An event that is not newer than the stored one changes nothing."""
    ordered = sorted(items)
    await unit.sql.execute(
        """
        INSERT INTO known_items (item_id, status, sequence, unit_of_measure, units)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::jsonb[])
        ON CONFLICT (item_id) DO UPDATE SET status = excluded.status, sequence = excluded.sequence,
                                            unit_of_measure = excluded.unit_of_measure, units = excluded.units
        WHERE known_items.sequence < excluded.sequence
        """,
        ordered,
        [items[item][0].status for item in ordered],
        [items[item][1] for item in ordered],
        [items[item][0].unit_of_measure for item in ordered],
        [to_json({each.unit: each.factor for each in items[item][0].units or ()}).decode() for item in ordered],
    )


@dataclass(frozen=True, slots=True)
class Known:
    """`status` is None for an item that was never registered. `units` has the factor of each unit but the base unit."""

    status: str | None
    base: str | None
    units: Mapping[str, int]


async def look(unit: Unit, items: Iterable[str], measured: Collection[str]) -> dict[str, Known]:
    """Return each of `items` that is not active, and each of `measured`, whose units are needed.

    One statement serves a whole batch and normally returns no rows. A subquery replaces a join so that the plan reads
    the index. With a join, a plan made while the table was small could read the whole table.
    """
    rows = await unit.sql.fetch(
        """
        SELECT item_id, status,
               (SELECT unit_of_measure FROM known_items AS known WHERE known.item_id = found.item_id) AS base,
               (SELECT units::text FROM known_items AS known WHERE known.item_id = found.item_id) AS units
        FROM (
            SELECT item_id, (SELECT status FROM known_items AS known WHERE known.item_id = wanted.item_id) AS status
            FROM unnest($1::text[]) AS wanted (item_id)
        ) AS found
        WHERE status IS DISTINCT FROM 'active' OR item_id = ANY($2::text[])
        """,
        list(items),
        list(measured),
    )
    return {row["item_id"]: Known(row["status"], row["base"], from_json(row["units"] or "{}")) for row in rows}
