"""Import demand: a row replaces what was imported for its item, place and day before."""

from decimal import Decimal
from typing import Final

from crossdock_chassis import Chunk, Counts, Unit, columns

KEEP: Final = """
    WITH kept AS (
        INSERT INTO imported_demand AS old (item_id, location_id, region, day, quantity, price, promotion, in_stock)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]::date[], $5::bigint[], $6::numeric[],
                             $7::boolean[], $8::boolean[])
             AS new (item_id, location_id, region, day, quantity, price, promotion, in_stock)
        ORDER BY item_id, location_id, region, day
        ON CONFLICT (item_id, location_id, region, day) DO UPDATE
        SET quantity = excluded.quantity, price = excluded.price, promotion = excluded.promotion,
            in_stock = excluded.in_stock
        WHERE (old.quantity, old.price, old.promotion, old.in_stock)
              IS DISTINCT FROM (excluded.quantity, excluded.price, excluded.promotion, excluded.in_stock)
        RETURNING xmax = 0 AS created
    )
    SELECT count(*) FILTER (WHERE created) AS created, count(*) FILTER (WHERE NOT created) AS changed FROM kept
"""


async def take_demand(unit: Unit, chunk: Chunk) -> Counts:
    """Store the rows. Items need not be known yet: their demand counts from the moment they are."""
    rows = [
        (
            row.cells["item_id"],
            row.cells["location_id"] or "",
            row.cells["region"] or "",
            row.cells["day"],
            row.cells["quantity"],
            None if row.cells.get("price") is None else Decimal(row.cells["price"]),
            row.cells.get("promotion"),
            row.cells.get("in_stock"),
        )
        for row in chunk.rows
    ]
    created, changed = await unit.sql.fetchrow(KEEP, *columns(rows))
    return Counts(created, changed, len(rows) - created - changed)
