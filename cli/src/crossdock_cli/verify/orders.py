"""Invariants 1, 4 and 5 of order-service: every order is there, and decided or waiting as its events say."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from crossdock_cli.verify.log import Entry, Log
from crossdock_cli.verify.report import Check, Findings
from crossdock_events.items import ItemEvent
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
)
from crossdock_events.reservations import ReservationEvent

MISSING = Check(1, "lost", "orders that a client was told of and that are not there")
ANOTHER = Check(1, "other", "orders that are there under another id than their client was told")
UNDECIDED = Check(1, "lost", "orders without a decision, and nothing is on its way")
NAMELESS = Check(1, "other", "orders that wait without saying for what or since when, or say so and do not wait")
DECIDED_TWICE = Check(4, "duplicated", "orders decided twice")
IMPOSSIBLE = Check(4, "other", "orders whose events do not follow from each other")
UNHEARD = Check(4, "lost", "orders that did not hear an answer of inventory's")
NOT_ITS_EVENTS = Check(5, "other", "orders that are not what their events say")
NOT_THE_ITEMS = Check(5, "other", "known items that are not what the items topic says")

ORDERS = """
    SELECT id::text AS id, partner, reference, status, version, reservation_sequence, decided_at,
           waiting::text AS waiting, jsonb_path_query_array(history, '$[*].id')::text AS events,
           document::text AS document,
           (SELECT array_agg(item_id ORDER BY item_id) FROM waiting_items WHERE order_id = orders.id) AS waiting_items
    FROM orders
"""

AFTER = {
    OrderPlaced.ce_type: "placed",
    OrderConfirmed.ce_type: "confirmed",
    OrderBackordered.ce_type: "backordered",
    OrderRejected.ce_type: "rejected",
    OrderCancelled.ce_type: "cancelled",
}
NEXT: Mapping[str, frozenset[str]] = {
    "": frozenset({"placed"}),
    "placed": frozenset({"confirmed", "backordered", "rejected", "cancelled"}),
    "backordered": frozenset({"backordered", "confirmed", "cancelled"}),
    "confirmed": frozenset({"cancelled"}),
    "rejected": frozenset(),
    "cancelled": frozenset(),
}


async def read(sql: asyncpg.Connection) -> dict[str, asyncpg.Record]:
    return {row["id"]: row for row in await sql.fetch(ORDERS)}


def check_states(orders: Mapping[str, asyncpg.Record], found: Findings) -> None:
    """What the orders say by themselves."""
    for order_id, order in orders.items():
        if trouble := _nameless(order):
            found.add(NAMELESS, f"{order_id} is {order['status']}: {trouble}")


def _nameless(order: asyncpg.Record) -> str | None:
    waiting: dict[str, Any] | None = json.loads(order["waiting"] or "null")
    if (order["decided_at"] is None) != (order["status"] == "placed"):
        return "when it was decided"
    if order["status"] != "backordered":
        return "what it waits for" if waiting or order["waiting_items"] else None
    if not waiting or not waiting.get("since") or not waiting.get("lines"):
        return "what it waits for"
    items = sorted({line["item_id"] for line in waiting["lines"]})
    if not all(line["backordered"] > 0 for line in waiting["lines"]) or items != order["waiting_items"]:
        return "which items it waits for"
    return None


def check_clients(
    orders: Mapping[str, asyncpg.Record], accepted: Mapping[tuple[str, str], str | None], found: Findings
) -> None:
    """`accepted`: what clients were told of, by partner and reference; the id where they were told one."""
    there = {(order["partner"], order["reference"]): order_id for order_id, order in orders.items()}
    for (partner, reference), order_id in accepted.items():
        if (partner, reference) not in there:
            found.add(MISSING, f"{partner} {reference}")
        elif order_id not in (None, there[partner, reference]):
            found.add(ANOTHER, f"{partner} {reference}: {order_id} is {there[partner, reference]}")


def check_events(orders: Mapping[str, asyncpg.Record], log: Log, stuck: Collection[str], found: Findings) -> None:
    """`stuck`: keys with an open dead letter; what those orders have not heard is a person's to send them."""
    events = log.by_key(OrderEvent.topic.name)
    answers = log.by_key(ReservationEvent.topic.name)
    for order_id, order in orders.items():
        if order["status"] == "placed" and order_id not in stuck:
            found.add(UNDECIDED, f"{order_id} ({order['partner']} {order['reference']})")
        own = events.get(order_id, [])
        _follow(order_id, own, found)
        last = AFTER.get(own[-1].type) if own else None
        if last != order["status"]:
            found.add(NOT_ITS_EVENTS, f"{order_id} is {order['status']}, its last event says {last}")
        elif json.loads(order["events"]) != [entry.id for entry in own] or order["version"] != own[-1].sequence:
            found.add(NOT_ITS_EVENTS, f"{order_id}: its history is not its {len(own)} events")
        elif own[-1].type == OrderBackordered.ce_type and (why := _other_lines(order, own[-1])):
            found.add(NOT_ITS_EVENTS, f"{order_id}: {why}")
        heard, said = order["reservation_sequence"], max((e.sequence for e in answers.get(order_id, ())), default=0)
        if heard < said and order_id not in stuck:
            found.add(UNHEARD, f"{order_id} heard {heard} of {said} answers")
        elif heard > said:
            found.add(NOT_ITS_EVENTS, f"{order_id} heard {heard} answers, inventory gave {said}")
    found.extend(NOT_ITS_EVENTS, (f"{key} has events and is no order" for key in sorted(events.keys() - orders.keys())))


def _follow(order_id: str, events: Sequence[Entry], found: Findings) -> None:
    states = [AFTER.get(entry.type, "") for entry in events]
    for before, after in zip(["", *states], states, strict=False):
        if after not in NEXT[before]:
            check = DECIDED_TWICE if after == before else IMPOSSIBLE
            found.add(check, f"{order_id}: {', '.join(states)}")
            return


def _other_lines(order: asyncpg.Record, event: Entry) -> str | None:
    def lines(of: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        return [tuple(line[name] for name in ("line_id", "item_id", "requested", "backordered")) for line in of]

    waiting = json.loads(order["waiting"] or '{"lines": []}')
    if lines(waiting["lines"]) != lines(json.loads(event.value)["lines"]):
        return "it waits for other lines than its last event says"
    return None


async def check_items(sql: asyncpg.Connection, log: Log, stuck: Collection[str], found: Findings) -> None:
    """Its projection of inventory's items."""
    said = {key: entries[-1] for key, entries in log.by_key(ItemEvent.topic.name).items()}
    known = {row["item_id"]: row for row in await sql.fetch("SELECT item_id, status, sequence FROM known_items")}
    for item in sorted(said.keys() | known.keys()):
        if item in stuck:
            continue
        row = known.get(item)
        there = None if row is None else (row["status"], row["sequence"])
        entry = said.get(item)
        should = None if entry is None else (json.loads(entry.value)["status"], entry.sequence)
        if there != should:
            found.add(NOT_THE_ITEMS, f"{item}: known as {there}, the log says {should}")
