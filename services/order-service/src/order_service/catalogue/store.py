"""Known items in and out of their table."""

from collections.abc import Iterable, Mapping

from crossdock_chassis import Unit
from crossdock_events.items import ItemEvent

ACTIVE = "active"


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


async def statuses(unit: Unit, items: Iterable[str]) -> dict[str, str]:
    """Of those that were ever registered, in one statement for a whole batch."""
    rows = await unit.sql.fetch("SELECT item_id, status FROM known_items WHERE item_id = ANY($1::text[])", list(items))
    return {row["item_id"]: row["status"] for row in rows}
