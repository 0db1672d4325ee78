"""Invariants of orders: no accepted order is lost, each is decided or waits, and each row is the fold of its events."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import asyncpg

from crossdock_chassis import GIVEN_IDS, AtRest, Check, CheckAtRest, EventLog, LogEvent, Snapshot
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
)
from crossdock_events.reservations import ReservationEvent
from order_service.orders.model import NEXT, Status

STATUS_AFTER = {
    OrderPlaced.ce_type: Status.PLACED,
    OrderConfirmed.ce_type: Status.CONFIRMED,
    OrderBackordered.ce_type: Status.BACKORDERED,
    OrderRejected.ce_type: Status.REJECTED,
    OrderCancelled.ce_type: Status.CANCELLED,
}

ACCEPTED = """
    SELECT partner, reference, array_remove(array_agg(id::text ORDER BY placed_at), NULL) AS ids
    FROM unnest($1::text[], $2::text[]) AS accepted (partner, reference) LEFT JOIN orders USING (partner, reference)
    GROUP BY partner, reference
"""

NOT_WAITING_AS_IT_SHOULD = """
    SELECT format('%s is %s: %s', id, status, trouble) FROM (
        SELECT id, status, CASE
            WHEN (decided_at IS NULL) <> (status = 'placed') THEN 'decided_at does not match'
            WHEN status <> 'backordered' AND (waiting IS NOT NULL OR indexed IS NOT NULL) THEN 'it still waits'
            WHEN status <> 'backordered' THEN NULL
            WHEN waiting ->> 'since' IS NULL OR named IS NULL THEN 'its waiting lines or their time are missing'
            WHEN waiting @? '$.lines[*] ? (@.backordered <= 0)' THEN 'it waits for a line that lacks nothing'
            WHEN named IS DISTINCT FROM indexed THEN 'its waiting_items are not the items of its waiting lines'
        END AS trouble
        FROM orders
        CROSS JOIN LATERAL (
            SELECT array_agg(item_id ORDER BY item_id) AS indexed FROM waiting_items WHERE order_id = orders.id
        ) AS waiting_item
        CROSS JOIN LATERAL (
            SELECT array_agg(DISTINCT item #>> '{}' ORDER BY item #>> '{}') AS named
            FROM jsonb_path_query(waiting, '$.lines[*].item_id') AS item
        ) AS waiting_line
    ) AS found
    WHERE trouble IS NOT NULL ORDER BY id
"""

ROWS = """
    SELECT id::text AS id, partner, reference, replaces::text AS replaces, status, version, reservation_sequence,
           (document -> 'lines')::text AS lines, coalesce(base_quantities, '{}')::text AS base_quantities,
           (waiting -> 'lines')::text AS waiting,
           jsonb_path_query_array(history, '$[*].id')::text AS events
    FROM orders
"""


async def _accepted(snapshot: Snapshot) -> Sequence[asyncpg.Record]:
    partners, references = zip(*snapshot.accepted, strict=True) if snapshot.accepted else ((), ())
    rows: Sequence[asyncpg.Record] = await snapshot.sql.fetch(ACCEPTED, partners, references)
    return rows


async def _missing(snapshot: Snapshot) -> AsyncIterator[str]:
    for row in await _accepted(snapshot):
        if not row["ids"]:
            yield f"{row['partner']} {row['reference']}"


async def _another(snapshot: Snapshot) -> AsyncIterator[str]:
    for partner, reference, ids in await _accepted(snapshot):
        known = snapshot.accepted[partner, reference]
        if ids and known not in (None, *ids):
            yield f"{partner} {reference}: the client received {known}, the order has {', '.join(ids)}"


async def _undecided(at_rest: AtRest) -> AsyncIterator[str]:
    rows = at_rest.sql.cursor("SELECT id::text, partner, reference FROM orders WHERE status = 'placed' ORDER BY id")
    async for order_id, partner, reference in rows:
        if order_id not in at_rest.stuck:
            yield f"{order_id} ({partner} {reference})"


def _broken(log: EventLog) -> Iterator[tuple[str, bool]]:
    """Yield a description of each order with an impossible event, and whether the first such event repeats a status."""
    for order_id, events in log.events(OrderEvent).items():
        statuses = [STATUS_AFTER[event.type] for event in events if event.type in STATUS_AFTER]
        described = f"{order_id}: {', '.join(statuses)}"
        if statuses and statuses[0] is not Status.PLACED:
            yield described, False
            continue
        for before, after in pairwise(statuses):
            if after not in NEXT[before]:
                yield described, after is before
                break


async def _decided_twice(at_rest: AtRest) -> AsyncIterator[str]:
    for described, repeated in _broken(at_rest.log):
        if repeated:
            yield described


async def _impossible(at_rest: AtRest) -> AsyncIterator[str]:
    for described, repeated in _broken(at_rest.log):
        if not repeated:
            yield described


async def _unheard(at_rest: AtRest) -> AsyncIterator[str]:
    answers = at_rest.log.events(ReservationEvent)
    async for order_id, applied in at_rest.sql.cursor(
        "SELECT id::text, reservation_sequence FROM orders", prefetch=500
    ):
        given = _last_sequence(answers.get(order_id, ()))
        if applied < given and order_id not in at_rest.stuck:
            yield f"{order_id} has applied {applied} of {given} answers"


ORDERS = f"SELECT id::text FROM orders WHERE id IN {GIVEN_IDS}"


async def _not_its_events(at_rest: AtRest) -> AsyncIterator[str]:
    orders, answers = at_rest.log.events(OrderEvent), at_rest.log.events(ReservationEvent)
    async for row in at_rest.sql.cursor(ROWS, prefetch=500):
        order_id = row["id"]
        if difference := _difference(row, orders.get(order_id, ())):
            yield f"{order_id}{difference}"
        given = _last_sequence(answers.get(order_id, ()))
        if row["reservation_sequence"] > given:
            yield f"{order_id} has applied {row['reservation_sequence']} answers, inventory sent {given}"
    async for order_id in at_rest.without_row(OrderEvent, ORDERS):
        yield f"{order_id} has events but no row in orders"


def _difference(row: asyncpg.Record, events: Sequence[LogEvent]) -> str | None:
    last = STATUS_AFTER.get(events[-1].type) if events else None
    if last != row["status"]:
        return f" is {row['status']}, but its last event makes it {last}"
    if json.loads(row["events"]) != [event.id for event in events] or row["version"] != events[-1].sequence:
        return f": its history or version differs from its {len(events)} events"
    first, now = events[0], events[-1]
    if first.type == OrderPlaced.ce_type and not _is_as_placed(row, first.data):
        return " differs from the order in its first event"
    if now.type == OrderBackordered.ce_type and _waiting(json.loads(row["waiting"] or "[]")) != _waiting(
        now.data["lines"]
    ):
        return ": its waiting lines differ from the lines of its last event"
    return None


def _is_as_placed(row: asyncpg.Record, placed: Mapping[str, Any]) -> bool:
    same_name = all(row[name] == placed.get(name) for name in ("partner", "reference", "replaces"))
    return same_name and _lines(json.loads(row["lines"]), json.loads(row["base_quantities"])) == _lines(placed["lines"])


def _lines(lines: Sequence[Mapping[str, Any]], base: Mapping[str, int] | None = None) -> list[tuple[Any, ...]]:
    base = base or {}
    return [(line["line_id"], line["item_id"], base.get(line["line_id"], line["quantity"])) for line in lines]


def _waiting(lines: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(line[name] for name in ("line_id", "item_id", "requested", "backordered")) for line in lines]


def _last_sequence(events: Sequence[LogEvent]) -> int:
    return max((event.sequence for event in events), default=0)


MISSING = Check(1, "lost", "orders that a client saw accepted and that are missing", _missing)
ANOTHER = Check(1, "other", "orders with another id than their client received", _another)
NAMELESS = Check(
    1,
    "other",
    "orders whose status disagrees with decided_at, or with the items and time they wait for",
    NOT_WAITING_AS_IT_SHOULD,
)
UNDECIDED = CheckAtRest(1, "lost", "orders without a decision, although no message is left to process", _undecided)
DECIDED_TWICE = CheckAtRest(4, "duplicated", "orders decided twice", _decided_twice)
IMPOSSIBLE = CheckAtRest(4, "other", "orders whose events do not follow from each other", _impossible)
UNHEARD = CheckAtRest(4, "lost", "orders that did not apply an answer of inventory", _unheard)
NOT_ITS_EVENTS = CheckAtRest(5, "other", "orders that differ from their events", _not_its_events)

CHECKS = (MISSING, ANOTHER, NAMELESS, UNDECIDED, DECIDED_TWICE, IMPOSSIBLE, UNHEARD, NOT_ITS_EVENTS)
