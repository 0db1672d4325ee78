"""Invariants of stock: levels equal their movements and their latest event, and movements equal their documents."""

from collections.abc import AsyncIterator

from crossdock_chassis import COMMIT_LIMIT, AtRest, Check, CheckAtRest
from crossdock_events.stock import StockEvent

UNSETTLED = """
    SELECT format('the levels of %s items of inventory-service are to be published', count(*))
    FROM (SELECT DISTINCT unnest(item_ids) FROM changed_items) AS changed HAVING count(*) > 0
"""

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

SUMS = Check(
    2,
    "other",
    "folded sums that differ from the movements up to their mark, or a mark beyond all movements",
    """
    SELECT format('%s at %s: %s on hand, %s reserved; the movements have %s on hand, %s reserved', item_id, location_id,
                  coalesce(folded.on_hand, 0), coalesce(folded.reserved, 0),
                  coalesce(moved.on_hand, 0), coalesce(moved.reserved, 0))
    FROM ledger_sums AS folded
    FULL JOIN (
        SELECT item_id, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM movements
        WHERE id <= (SELECT folded_to FROM ledger_mark) GROUP BY 1, 2
    ) AS moved USING (item_id, location_id)
    WHERE (coalesce(folded.on_hand, 0), coalesce(folded.reserved, 0))
        <> (coalesce(moved.on_hand, 0), coalesce(moved.reserved, 0))
    UNION ALL
    SELECT format('the mark is at %s, the last movement is %s', folded_to, last)
    FROM ledger_mark CROSS JOIN (SELECT coalesce(max(id), 0) AS last FROM movements) AS ledger WHERE folded_to > last
    """,
)

UNLISTED = Check(
    5,
    "lost",
    "changed levels that are not in the set of changed items",
    """
    SELECT format('%s: %s after event %s', item_id, array_to_string(causes, ', '), sequence) FROM stock_heads
    WHERE causes IS NOT NULL AND item_id NOT IN (SELECT unnest(item_ids) FROM changed_items) ORDER BY item_id
    """,
)

UNREACHED = Check(
    5,
    "other",
    "movements that no reader of the feed reaches",
    f"SELECT format('movement %s at position %s', id, changed_in) FROM movements WHERE changed_in >= {COMMIT_LIMIT}",
)

# Two partners may use the same reference. Opening stock has no partner.
DOCUMENT = Check(
    4,
    "duplicated",
    "movements that differ from their document",
    """
    WITH line AS (
        SELECT kind, partner, reference, recorded_at AS at, body, part ->> 'item_id' AS item_id,
               coalesce(base_quantities[position], (part ->> 'quantity')::bigint) AS quantity
        FROM documents CROSS JOIN jsonb_array_elements(body -> 'lines') WITH ORDINALITY AS each (part, position)
    ), documented AS (
        SELECT kind, partner, reference, at, item_id, body ->> 'location_id' AS location_id, quantity FROM line
        WHERE kind <> 'transfer'
        UNION ALL
        SELECT kind, partner, reference, at, item_id, body ->> 'from_location_id', -quantity FROM line
        WHERE kind = 'transfer'
        UNION ALL
        SELECT kind, partner, reference, at, item_id, body ->> 'to_location_id', quantity FROM line
        WHERE kind = 'transfer'
        UNION ALL
        SELECT 'opening', '', reference, recorded_at, item_id, location_id, quantity FROM opening_stock
    ), summed AS (
        SELECT kind, partner, reference, at, item_id, location_id, sum(quantity) AS units FROM documented
        GROUP BY 1, 2, 3, 4, 5, 6
    ), moved AS (
        SELECT kind, coalesce(partner, '') AS partner, reference, at, item_id, location_id, sum(on_hand) AS units
        FROM movements WHERE kind NOT IN ('reservation', 'release', 'withdrawal') GROUP BY 1, 2, 3, 4, 5, 6
    )
    SELECT format('%s %s of %s at %s, %s at %s: %s in the document, %s moved', kind, reference, partner, at, item_id,
                  location_id, coalesce(summed.units, 0), coalesce(moved.units, 0))
    FROM summed FULL JOIN moved USING (kind, partner, reference, at, item_id, location_id)
    WHERE coalesce(summed.units, 0) <> coalesce(moved.units, 0)
    ORDER BY kind, reference, item_id, location_id
    """,
)

OTHERS_KEY = Check(
    1,
    "other",
    "idempotency keys whose answer names nothing, or a document of another partner",
    """
    SELECT format('%s of %s for %s: %s', key, answered.partner, route, answer)
    FROM (
        SELECT *, answer #>> '{document,id}' AS document_id,
               coalesce(answer #>> '{resource,item_id}', answer ->> 'item_id') AS item_id,
               answer #>> '{resource,location_id}' AS location_id
        FROM idempotency_key WHERE answer IS NOT NULL
    ) AS answered
    WHERE document_id IS NOT NULL AND NOT EXISTS (
              SELECT FROM documents
              WHERE id = CASE WHEN pg_input_is_valid(document_id, 'uuid') THEN document_id::uuid END
                AND documents.partner = answered.partner
                AND (kind, reference) = (answer #>> '{document,kind}', answer #>> '{document,reference}')
          )
       OR item_id IS NOT NULL AND NOT EXISTS (SELECT FROM items WHERE items.item_id = answered.item_id)
       OR location_id IS NOT NULL AND NOT EXISTS (
              SELECT FROM locations WHERE locations.location_id = answered.location_id
          )
    ORDER BY 1
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

CHECKS = (OVERSOLD, NEGATIVE, LEDGER, SUMS, UNLISTED, UNREACHED, DOCUMENT, OTHERS_KEY, NOT_SAID)
