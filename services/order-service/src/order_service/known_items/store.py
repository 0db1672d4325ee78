"""Read and write the table of known items."""

from collections.abc import Iterable, Mapping

from crossdock_chassis import Unit
from crossdock_events.items import ItemEvent


async def keep(unit: Unit, items: Mapping[str, tuple[ItemEvent, int]]) -> None:
    """Store the event and sequence of each item. An event that is not newer than the stored one changes nothing."""
    ordered = sorted(items)
    await unit.sql.execute(
        """
        INSERT INTO known_items (item_id, status, sequence)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
        ON CONFLICT (item_id) DO UPDATE SET status = excluded.status, sequence = excluded.sequence
        WHERE known_items.sequence < excluded.sequence
        """,
        ordered,
        [items[item][0].status for item in ordered],
        [items[item][1] for item in ordered],
    )


async def not_orderable(unit: Unit, items: Iterable[str]) -> dict[str, str | None]:
    """Return the status of each of `items` that is not active, or None for an item that was never registered.

    One statement serves a whole batch and normally returns no rows. A subquery replaces a join so that the plan reads
    the index. With a join, a plan made while the table was small could read the whole table.
    """
    rows = await unit.sql.fetch(
        """
        SELECT item_id, status FROM (
            SELECT item_id, (SELECT status FROM known_items AS known WHERE known.item_id = wanted.item_id) AS status
            FROM unnest($1::text[]) AS wanted (item_id)
        ) AS found WHERE status IS DISTINCT FROM 'active'
        """,
        list(items),
    )
    return {row["item_id"]: row["status"] for row in rows}
