"""Read and write items, many at a time. An item is inserted together with its stock head."""

from collections.abc import Collection, Iterable, Sequence

from pydantic_core import from_json, to_json

from crossdock_chassis import Unit
from inventory_service.items.model import Item, Traits
from inventory_service.stock import store as stock

INSERT = """
    INSERT INTO items
        (item_id, unit_of_measure, category, status, description, units, sequence, registered_at, changed_at)
    SELECT item_id, unit_of_measure, category, status, description, units, 1, $7, $7
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
         AS new (item_id, unit_of_measure, category, status, description, units)
    ORDER BY item_id
    ON CONFLICT DO NOTHING
    RETURNING item_id
"""

INSERT_HEADS = "INSERT INTO stock_heads (item_id) SELECT unnest($1::text[])"

READ = """
    SELECT item_id, unit_of_measure, category, status, description, units::text AS units, sequence
    FROM items WHERE item_id = ANY($1::text[])
"""

UPDATE = """
    UPDATE items SET unit_of_measure = new.unit_of_measure, category = new.category, status = new.status,
                     description = new.description, units = new.units, sequence = new.sequence, changed_at = $8
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[])
         AS new (item_id, unit_of_measure, category, status, description, units, sequence)
    WHERE items.item_id = new.item_id
"""

# An order that waits for such an item may also wait for other items, and may have earmarked their stock.
QUEUE_WHAT_THEIR_ORDERS_WANT = """
    INSERT INTO release_queue (item_id, queued_at)
    SELECT DISTINCT other.item_id, $2::timestamptz
    FROM reservation_lines AS line JOIN reservation_lines AS other USING (order_id)
    WHERE line.item_id = ANY($1::text[]) AND line.waiting > 0 AND other.waiting > 0
"""


async def insert(unit: Unit, items: Sequence[Item]) -> set[str]:
    """Insert new items and return their ids. Items that exist stay unchanged."""
    rows = await unit.sql.fetch(INSERT, *_columns(items)[:6], unit.now)
    new = {row["item_id"] for row in rows}
    await unit.sql.execute(INSERT_HEADS, sorted(new))
    return new


async def lock(unit: Unit, ids: Collection[str]) -> dict[str, Item]:
    """Lock the stock heads and return the items that exist. No order can reserve an item while it changes."""
    return await read(unit, await stock.lock(unit, ids))


async def read(unit: Unit, ids: Iterable[str]) -> dict[str, Item]:
    rows = await unit.sql.fetch(READ, list(ids))
    return {
        row["item_id"]: Item(
            row["item_id"],
            Traits(row["unit_of_measure"], row["category"], row["status"], row["description"], from_json(row["units"])),
            row["sequence"],
        )
        for row in rows
    }


async def update(unit: Unit, items: Sequence[Item]) -> None:
    await unit.sql.execute(UPDATE, *_columns(items), unit.now)


async def queue_what_their_orders_want(unit: Unit, ids: Sequence[str]) -> None:
    await stock.insert_queued(unit, QUEUE_WHAT_THEIR_ORDERS_WANT, ids)


def _columns(
    items: Sequence[Item],
) -> tuple[list[str], list[str], list[str | None], list[str], list[str | None], list[str], list[int]]:
    return (
        [item.item_id for item in items],
        [item.traits.unit_of_measure for item in items],
        [item.traits.category for item in items],
        [item.traits.status for item in items],
        [item.traits.description for item in items],
        [to_json(item.traits.units).decode() for item in items],
        [item.sequence for item in items],
    )
