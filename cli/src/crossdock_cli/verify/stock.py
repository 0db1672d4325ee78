"""Invariants 2, 3 and 5 of inventory-service: levels, their ledger, what orders hold, and what was said of it."""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg

from crossdock_cli.verify.log import Log
from crossdock_cli.verify.report import Check, Findings
from crossdock_events.items import ItemEvent
from crossdock_events.stock import StockEvent

OVERSOLD = Check(2, "oversold", "levels with more promised than is there")
NEGATIVE = Check(2, "other", "levels below zero")
LEDGER = Check(2, "ledger", "levels that are not the sum of their movements")
HELD = Check(3, "oversold", "levels whose reserved is not what orders hold")
LINES = Check(3, "other", "lines that do not hold what they say, or what their order may hold")
ORPHANS = Check(3, "other", "allocations of no line")
EFFECT = Check(4, "duplicated", "movements of an order that are not what it holds")
DOCUMENT = Check(4, "duplicated", "movements of a document that are not what it says")
NOT_SAID = Check(5, "other", "levels that are not what the stock topic says")
NOT_THE_ITEM = Check(5, "other", "items that are not what their topic says")

LEVELS = """
    SELECT item_id, location_id, coalesce(level.on_hand, 0) AS on_hand, coalesce(level.reserved, 0) AS reserved,
           coalesce(fold.on_hand, 0)::bigint AS moved_on_hand, coalesce(fold.reserved, 0)::bigint AS moved_reserved,
           coalesce(held.quantity, 0)::bigint AS held
    FROM levels AS level
    FULL JOIN (
        SELECT item_id, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM movements GROUP BY 1, 2
    ) AS fold USING (item_id, location_id)
    FULL JOIN (
        SELECT item_id, location_id, sum(quantity) AS quantity FROM allocations GROUP BY 1, 2
    ) AS held USING (item_id, location_id)
    WHERE coalesce(level.on_hand, 0) <> coalesce(fold.on_hand, 0)
       OR coalesce(level.reserved, 0) <> coalesce(fold.reserved, 0)
       OR coalesce(level.reserved, 0) <> coalesce(held.quantity, 0)
       OR level.on_hand < 0 OR level.reserved < 0 OR level.reserved > level.on_hand
    ORDER BY 1, 2
"""

# What a line may say of itself depends on its order: all is there, some is missing, or nothing is held any more.
WRONG_LINES = """
    SELECT line.order_id::text AS order_id, line.line_id, reservation.status, line.requested, line.reserved,
           line.waiting, coalesce(held.quantity, 0)::bigint AS held
    FROM reservation_lines AS line
    LEFT JOIN reservations AS reservation USING (order_id)
    LEFT JOIN (
        SELECT order_id, line_id, item_id, sum(quantity) AS quantity FROM allocations GROUP BY 1, 2, 3
    ) AS held USING (order_id, line_id, item_id)
    WHERE line.reserved <> coalesce(held.quantity, 0)
       OR CASE reservation.status
              WHEN 'open' THEN line.reserved <> line.requested OR line.waiting <> 0
              WHEN 'waiting' THEN line.waiting <> line.requested - line.reserved
              ELSE line.reserved <> 0 OR line.waiting <> 0 OR reservation.status IS NULL
          END
    ORDER BY 1, 2
"""

NO_WAIT = """
    SELECT order_id::text AS order_id, status FROM reservations AS reservation
    WHERE status IN ('open', 'waiting')
      AND (SELECT coalesce(bool_or(waiting > 0), false) FROM reservation_lines WHERE order_id = reservation.order_id)
          <> (status = 'waiting')
    ORDER BY 1
"""

ORPHANED = """
    SELECT order_id::text AS order_id, line_id, location_id, item_id FROM allocations
    LEFT JOIN reservation_lines USING (order_id, line_id, item_id)
    WHERE reservation_lines.order_id IS NULL ORDER BY 1, 2, 3
"""

EFFECTS = """
    SELECT order_id, line_id, location_id, item_id, coalesce(moved.quantity, 0)::bigint AS moved,
           coalesce(held.quantity, 0)::bigint AS held
    FROM (
        SELECT reference AS order_id, line_id, location_id, item_id, sum(reserved) AS quantity FROM movements
        WHERE kind IN ('reservation', 'release') GROUP BY 1, 2, 3, 4
    ) AS moved
    FULL JOIN (
        SELECT order_id::text AS order_id, line_id, location_id, item_id, quantity FROM allocations
    ) AS held USING (order_id, line_id, location_id, item_id)
    WHERE coalesce(moved.quantity, 0) <> coalesce(held.quantity, 0)
    ORDER BY 1, 2, 3
"""

# Two partners may use one reference, so documents are summed by it as movements are.
DOCUMENTS = """
    WITH line AS (
        SELECT kind, reference, body, part ->> 'item_id' AS item_id, (part ->> 'quantity')::bigint AS quantity
        FROM documents CROSS JOIN jsonb_array_elements(body -> 'lines') AS part
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
    SELECT kind, reference, item_id, location_id, coalesce(said.units, 0)::bigint AS said,
           coalesce(moved.units, 0)::bigint AS moved
    FROM (SELECT kind, reference, item_id, location_id, sum(quantity) AS units FROM said GROUP BY 1, 2, 3, 4) AS said
    FULL JOIN (
        SELECT kind, reference, item_id, location_id, sum(on_hand) AS units FROM movements
        WHERE kind NOT IN ('reservation', 'release') GROUP BY 1, 2, 3, 4
    ) AS moved USING (kind, reference, item_id, location_id)
    WHERE coalesce(said.units, 0) <> coalesce(moved.units, 0)
    ORDER BY 1, 2, 3, 4
"""


async def check_levels(sql: asyncpg.Connection, found: Findings) -> None:
    for row in await sql.fetch(LEVELS):
        place = f"{row['item_id']} at {row['location_id']}"
        level = f"{row['on_hand']} on hand, {row['reserved']} reserved"
        if row["on_hand"] < 0 or row["reserved"] < 0:
            found.add(NEGATIVE, f"{place}: {level}")
        if row["reserved"] > row["on_hand"]:
            found.add(OVERSOLD, f"{place}: {level}")
        if (row["on_hand"], row["reserved"]) != (row["moved_on_hand"], row["moved_reserved"]):
            ledger = f"{row['moved_on_hand']} on hand, {row['moved_reserved']} reserved"
            found.add(LEDGER, f"{place}: {level}; the ledger says {ledger}")
        if row["reserved"] != row["held"]:
            found.add(HELD, f"{place}: {row['reserved']} reserved, orders hold {row['held']}")


async def check_reservations(sql: asyncpg.Connection, found: Findings) -> None:
    for row in await sql.fetch(WRONG_LINES):
        numbers = f"{row['requested']} requested, {row['reserved']} reserved, {row['waiting']} waited for"
        status = row["status"] or "no reservation"
        found.add(LINES, f"line {row['line_id']} of {row['order_id']} ({status}): {numbers}, {row['held']} held")
    for row in await sql.fetch(NO_WAIT):
        found.add(LINES, f"{row['order_id']} is {row['status']}, its lines are not")
    for row in await sql.fetch(ORPHANED):
        found.add(ORPHANS, f"line {row['line_id']} of {row['order_id']}: {row['item_id']} at {row['location_id']}")
    for row in await sql.fetch(EFFECTS):
        what = f"line {row['line_id']} of {row['order_id']}, {row['item_id']} at {row['location_id']}"
        found.add(EFFECT, f"{what}: {row['moved']} moved, {row['held']} held")
    for row in await sql.fetch(DOCUMENTS):
        what = f"{row['kind']} {row['reference']}, {row['item_id']} at {row['location_id']}"
        found.add(DOCUMENT, f"{what}: {row['said']} said, {row['moved']} moved")


async def check_said(sql: asyncpg.Connection, log: Log, found: Findings) -> None:
    """The latest that each item's topics say is what the tables hold."""
    levels: dict[str, dict[str, tuple[int, int]]] = {}
    for row in await sql.fetch("SELECT item_id, location_id, on_hand, reserved FROM levels"):
        levels.setdefault(row["item_id"], {})[row["location_id"]] = row["on_hand"], row["reserved"]
    heads = {row["item_id"]: row["sequence"] for row in await sql.fetch("SELECT item_id, sequence FROM stock_heads")}
    latest = {key: entries[-1] for key, entries in log.by_key(StockEvent.topic.name).items()}
    for item in sorted(heads.keys() | latest.keys()):
        entry = latest.get(item)
        said = {} if entry is None else _levels(json.loads(entry.value))
        sequence = 0 if entry is None else entry.sequence
        if said != levels.get(item, {}) or sequence != heads.get(item):
            there = f"{levels.get(item, {})} after {heads.get(item)} events"
            found.add(NOT_SAID, f"{item}: {there}, the topic says {said} after {sequence}")


async def check_items(sql: asyncpg.Connection, log: Log, found: Findings) -> None:
    rows = await sql.fetch("SELECT item_id, status, sequence FROM items")
    items = {row["item_id"]: (row["status"], row["sequence"]) for row in rows}
    latest = {key: entries[-1] for key, entries in log.by_key(ItemEvent.topic.name).items()}
    said = {item: (json.loads(entry.value)["status"], entry.sequence) for item, entry in latest.items()}
    for item in sorted(items.keys() | said.keys()):
        if items.get(item) != said.get(item):
            found.add(NOT_THE_ITEM, f"{item}: {items.get(item)}, the topic says {said.get(item)}")


def _levels(data: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    return {level["location_id"]: (level["on_hand"], level["reserved"]) for level in data["levels"]}
