"""Known items in and out of their table."""

from collections.abc import Iterable, Mapping

from crossdock_chassis import Unit
from crossdock_events.items import ItemEvent


async def keep(unit: Unit, items: Mapping[str, tuple[ItemEvent, int]]) -> None:
    """The events by item, each with its sequence; what is older than what is known changes nothing."""
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
    """Those of `items` that are not active, with their status; None: never registered. One statement for a whole batch,
    which normally answers nothing. A subquery instead of a join, so that its plan reads the index and never the table,
    however small that was when the plan was made."""
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
