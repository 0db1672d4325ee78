"""Invariants of stock: levels are possible, and equal the sum of their movements and the latest event of the item."""

from collections.abc import AsyncIterator

from crossdock_chassis import AtRest, Check, CheckAtRest
from crossdock_events.stock import StockEvent

OVERSOLD = Check(
    2,
    "oversold",
    "levels with more reserved than on hand",
    """
    SELECT format('%s at %s: %s on hand, %s reserved', item_id, location_id, on_hand, reserved)
    FROM levels WHERE reserved > on_hand ORDER BY item_id, location_id
    """,
)

NEGATIVE = Check(
    2,
    "other",
    "levels below zero",
    """
    SELECT format('%s at %s: %s on hand, %s reserved', item_id, location_id, on_hand, reserved)
    FROM levels WHERE on_hand < 0 OR reserved < 0 ORDER BY item_id, location_id
    """,
)

LEDGER = Check(
    2,
    "ledger",
    "levels that differ from the sum of their movements",
    """
    SELECT format('%s at %s: %s on hand, %s reserved; the ledger says %s on hand, %s reserved', item_id, location_id,
                  coalesce(level.on_hand, 0), coalesce(level.reserved, 0),
                  coalesce(moved.on_hand, 0), coalesce(moved.reserved, 0))
    FROM levels AS level
    FULL JOIN (
        SELECT item_id, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM movements GROUP BY 1, 2
    ) AS moved USING (item_id, location_id)
    WHERE coalesce(level.on_hand, 0) <> coalesce(moved.on_hand, 0)
       OR coalesce(level.reserved, 0) <> coalesce(moved.reserved, 0)
    ORDER BY item_id, location_id
    """,
)

# Documents are summed by reference as movements are, because two partners may use the same reference.
DOCUMENT = Check(
    4,
    "duplicated",
    "movements that differ from their document",
    """
    WITH line AS (
        SELECT kind, reference, body, part ->> 'item_id' AS item_id,
               coalesce(base_quantities[position], (part ->> 'quantity')::bigint) AS quantity
        FROM documents CROSS JOIN jsonb_array_elements(body -> 'lines') WITH ORDINALITY AS each (part, position)
    ), said AS (
        SELECT kind, reference, item_id, body ->> 'location_id' AS location_id, quantity FROM line
        WHERE kind <> 'transfer'
        UNION ALL
        SELECT kind, reference, item_id, body ->> 'from_location_id', -quantity FROM line WHERE kind = 'transfer'
        UNION ALL
        SELECT kind, reference, item_id, body ->> 'to_location_id', quantity FROM line WHERE kind = 'transfer'
        UNION ALL
        SELECT 'opening', reference, item_id, location_id, quantity FROM opening_stock
    )
    SELECT format('%s %s, %s at %s: %s said, %s moved', kind, reference, item_id, location_id,
                  coalesce(said.units, 0), coalesce(moved.units, 0))
    FROM (SELECT kind, reference, item_id, location_id, sum(quantity) AS units FROM said GROUP BY 1, 2, 3, 4) AS said
    FULL JOIN (
        SELECT kind, reference, item_id, location_id, sum(on_hand) AS units FROM movements
        WHERE kind NOT IN ('reservation', 'release', 'withdrawal') GROUP BY 1, 2, 3, 4
    ) AS moved USING (kind, reference, item_id, location_id)
    WHERE coalesce(said.units, 0) <> coalesce(moved.units, 0)
    ORDER BY kind, reference, item_id, location_id
    """,
)


async def _not_said(at_rest: AtRest) -> AsyncIterator[str]:
    levels: dict[str, dict[str, tuple[int, int]]] = {}
    for row in await at_rest.sql.fetch("SELECT item_id, location_id, on_hand, reserved FROM levels"):
        levels.setdefault(row["item_id"], {})[row["location_id"]] = row["on_hand"], row["reserved"]
    rows = await at_rest.sql.fetch("SELECT item_id, sequence FROM stock_heads")
    heads = {row["item_id"]: row["sequence"] for row in rows}
    topic = at_rest.log.events(StockEvent)
    for item in sorted(heads.keys() | topic.keys()):
        expected: dict[str, tuple[int, int]] = {}
        sequence = 0
        if item in topic:
            last = topic[item][-1]
            expected = {each["location_id"]: (each["on_hand"], each["reserved"]) for each in last.data["levels"]}
            sequence = last.sequence
        if expected != levels.get(item, {}) or sequence != heads.get(item):
            there = f"{levels.get(item, {})} after {heads.get(item)} events"
            yield f"{item}: {there}, the topic has {expected} after {sequence}"


NOT_SAID = CheckAtRest(5, "other", "levels that differ from the latest stock event", _not_said)

CHECKS = (OVERSOLD, NEGATIVE, LEDGER, DOCUMENT, NOT_SAID)
