"""A projection of inventory's items and stock: what each location holds of each item."""

from collections.abc import Sequence
from typing import Final

from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.items import ItemEvent
from crossdock_events.stock import StockLevelChanged

LEVELS_NOW: Final = "levels_now"

KEEP: Final = """
    INSERT INTO levels_now AS old (item_id, location_id, on_hand, reserved, sequence, changed_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
         AS new (item_id, location_id, on_hand, reserved, sequence, changed_at)
    ORDER BY item_id, location_id
    ON CONFLICT (item_id, location_id) DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved,
        sequence = excluded.sequence, changed_at = excluded.changed_at
    WHERE old.sequence < excluded.sequence
"""

# An event has all locations that hold the item. Rows of an older event are of locations that hold it no longer.
DROP: Final = """
    DELETE FROM levels_now AS old USING unnest($1::text[], $2::bigint[]) AS new (item_id, sequence)
    WHERE old.item_id = new.item_id AND old.sequence < new.sequence
"""

SUM: Final = """
    INSERT INTO stock_items AS old (item_id, on_hand, reserved, empty, sequence, changed_at)
    SELECT item_id, on_hand, reserved, on_hand <= reserved, sequence, changed_at
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
         AS new (item_id, on_hand, reserved, sequence, changed_at)
    ORDER BY item_id
    ON CONFLICT (item_id) DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved,
        empty = excluded.empty, sequence = excluded.sequence, changed_at = excluded.changed_at
    WHERE old.sequence < excluded.sequence
"""

NAME: Final = """
    INSERT INTO stock_items AS old (item_id, status, category, unit_of_measure, item_sequence)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
         AS new (item_id, status, category, unit_of_measure, item_sequence)
    ORDER BY item_id
    ON CONFLICT (item_id) DO UPDATE SET status = excluded.status, category = excluded.category,
        unit_of_measure = excluded.unit_of_measure, item_sequence = excluded.item_sequence
    WHERE old.item_sequence < excluded.item_sequence
"""


async def follow_items(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
    """Apply the last event of each item: each has the whole item."""
    rows = [
        (item, each.event.status, each.event.category, each.event.unit_of_measure, each.sequence)
        for item, each in {each.event.item_id: each for each in batch}.items()
    ]
    await unit.sql.execute(NAME, *columns(rows))


async def follow_levels(unit: Unit, batch: Sequence[Envelope[StockLevelChanged]]) -> None:
    """Apply the last event of each item: each has all levels of its item."""
    last = {each.event.item_id: each for each in batch}
    rows = [
        (item, level.location_id, level.on_hand, level.reserved, each.sequence, each.time)
        for item, each in last.items()
        for level in each.event.levels
    ]
    if rows:
        await unit.sql.execute(KEEP, *columns(rows))
    await unit.sql.execute(DROP, list(last), [each.sequence for each in last.values()])
    sums = [
        (
            item,
            sum(level.on_hand for level in each.event.levels),
            sum(level.reserved for level in each.event.levels),
            each.sequence,
            each.time,
        )
        for item, each in last.items()
    ]
    await unit.sql.execute(SUM, *columns(sums))
