"""Read the release queue, and the backorders that it may serve in their turn."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from crossdock_chassis import Unit
from inventory_service.reservations.model import PRIORITIES, Demand, Turn, Want, sort_key
from inventory_service.reservations.store import TURN

QUEUED = "SELECT id, item_id FROM release_queue ORDER BY id"

ANY_QUEUED = "SELECT FROM release_queue LIMIT 1"

QUEUED_AGAIN = """
    SELECT EXISTS (SELECT FROM release_queue WHERE item_id = ANY($2::text[]) AND id <> ALL($1::bigint[]))
"""

DEQUEUE = "DELETE FROM release_queue WHERE id = ANY($1::bigint[])"

# The orders that the free stock of the items $1 may serve, and the older orders (placed before $2) that earmark stock
# of their other items. For each item, only the first $3 orders are read, in their turn, from an index. Of the orders
# that may be served, they are the first ones after the turn $4-$6. If an item has more of them, the result ends at the
# `horizon`, the last turn up to which all items are complete.
#
# A younger whole order is left out if total stock cannot serve one of its lines, because `allocate` would not serve it.
CANDIDATES = f"""
    WITH queued AS MATERIALIZED (
        SELECT item_id, sum(on_hand - reserved)::bigint AS units FROM levels
        WHERE item_id = ANY($1::text[]) AND on_hand > reserved GROUP BY item_id
    ), served AS MATERIALIZED (
        SELECT queued.item_id, line.* FROM queued CROSS JOIN LATERAL (
            SELECT order_id, priority, placed_at FROM reservation_lines AS line
            WHERE line.item_id = queued.item_id AND waiting > 0 AND (partial OR placed_at < $2 OR waiting <= units)
              AND priority <= $4 AND (priority < $4 OR (placed_at, order_id) > ($5, $6))
            ORDER BY {TURN} LIMIT $3
        ) AS line
    ), others AS MATERIALIZED (
        SELECT DISTINCT item_id FROM reservation_lines
        WHERE order_id = ANY(ARRAY(SELECT order_id FROM served)) AND waiting > 0 AND item_id <> ALL($1::text[])
    ), earmarked AS MATERIALIZED (
        SELECT others.item_id, line.* FROM others CROSS JOIN LATERAL (
            SELECT order_id, priority, placed_at FROM reservation_lines AS line
            WHERE line.item_id = others.item_id AND waiting > 0 AND NOT partial AND placed_at < $2
            ORDER BY {TURN} LIMIT $3
        ) AS line
    ), found AS MATERIALIZED (
        SELECT * FROM served UNION ALL SELECT * FROM earmarked
    ), horizon AS MATERIALIZED (
        SELECT -priority AS urgency, placed_at, order_id FROM (
            SELECT DISTINCT ON (item_id) *, count(*) OVER (PARTITION BY item_id) AS orders FROM served
            ORDER BY item_id, priority, placed_at DESC, order_id DESC
        ) AS last
        WHERE orders >= $3 ORDER BY {TURN} LIMIT 1
    ), wanted AS MATERIALIZED (
        SELECT * FROM reservation_lines
        WHERE order_id = ANY(ARRAY(SELECT order_id FROM found)) AND waiting > 0
          AND (NOT EXISTS (SELECT FROM horizon) OR (-priority, placed_at, order_id) <= (SELECT * FROM horizon))
    ), free AS MATERIALIZED (
        SELECT item_id, sum(on_hand - reserved) AS units FROM levels
        WHERE item_id = ANY(ARRAY(SELECT DISTINCT item_id FROM wanted)) GROUP BY item_id
    ), demand AS (
        SELECT order_id, line.priority, line.placed_at, line.partial,
               array_agg(line_id ORDER BY position) FILTER (WHERE item.status = 'active') AS line_ids,
               array_agg(item_id ORDER BY position) FILTER (WHERE item.status = 'active') AS item_ids,
               array_agg(waiting ORDER BY position) FILTER (WHERE item.status = 'active') AS quantities,
               (SELECT count(*) FROM reservation_lines AS had WHERE had.order_id = line.order_id AND waiting = 0)
               - (SELECT count(*) FROM allocations AS held WHERE held.order_id = line.order_id) AS more_lines,
               order_id IN (SELECT order_id FROM served) AS may_be_served
        FROM wanted AS line JOIN items AS item USING (item_id) LEFT JOIN free USING (item_id)
        GROUP BY order_id, line.priority, line.placed_at, line.partial
        HAVING bool_or(item.status = 'active' AND free.units > 0)
           AND (line.partial OR bool_and(
               item.status = 'active' AND (line.placed_at < $2 OR coalesce(free.units, 0) >= waiting)
           ))
    )
    SELECT demand.*, horizon.* FROM (SELECT) AS always LEFT JOIN demand ON true LEFT JOIN horizon ON true
    ORDER BY {sort_key("demand")}
"""

FREE = """
    SELECT item_id, location_id, on_hand - reserved AS units FROM levels
    WHERE item_id = ANY($1::text[]) AND on_hand > reserved
"""


async def queued(unit: Unit) -> tuple[list[int], list[str]]:
    """Return the entries of the release queue and their items."""
    rows = await unit.sql.fetch(QUEUED)
    return [row["id"] for row in rows], sorted({row["item_id"] for row in rows})


async def queued_again(unit: Unit, entries: Collection[int], items: Iterable[str]) -> bool:
    """Return whether the queue has other entries of these items. The unit must hold their heads."""
    again: bool = await unit.sql.fetchval(QUEUED_AGAIN, entries, list(items))
    return again


async def dequeue(unit: Unit, entries: Collection[int]) -> None:
    await unit.sql.execute(DEQUEUE, entries)


class Candidates(NamedTuple):
    """`demands` are in their turn. The items may serve those in `may_be_served`; the others only earmark stock.

    `last` is the last turn in the result, or None if no backorder follows.
    """

    demands: list[Demand]
    may_be_served: set[UUID]
    last: Turn | None


FIRST = Turn(-len(PRIORITIES), datetime.min.replace(tzinfo=UTC), UUID(int=0))


async def candidates(
    unit: Unit, items: Collection[str], earmark_before: datetime, limit: int, after: Turn | None
) -> Candidates:
    """Return the next `limit` backorders of each item that it may serve, and the backorders that earmark."""
    urgency, placed_after, order_after = after or FIRST
    rows = await unit.sql.fetch(CANDIDATES, items, earmark_before, limit, -urgency, placed_after, order_after)
    demands: list[Demand] = []
    may_be_served: set[UUID] = set()
    for order_id, priority, placed_at, partial, line_ids, item_ids, quantities, more_lines, served, *_ in rows:
        if order_id is None:
            break  # the only row
        wants = [Want(*want) for want in zip(line_ids, item_ids, quantities, strict=True)]
        earmarks = not partial and placed_at < earmark_before
        demands.append(Demand(order_id, priority, placed_at, partial, wants, earmarks, more_lines))
        if served:
            may_be_served.add(order_id)
    *_, urgency, last_placed_at, last_order = rows[0]
    return Candidates(demands, may_be_served, None if last_order is None else Turn(urgency, last_placed_at, last_order))


async def free(unit: Unit, items: Iterable[str]) -> dict[str, dict[str, int]]:
    places: dict[str, dict[str, int]] = defaultdict(dict)
    for item, location, units in await unit.sql.fetch(FREE, list(items)):
        places[item][location] = units
    return places
