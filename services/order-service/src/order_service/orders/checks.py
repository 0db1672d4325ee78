"""Invariants of orders: no accepted order is lost, each is decided or waits, and each row equals its events."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import pairwise

import asyncpg

from crossdock_chassis import COMMIT_LIMIT, GIVEN_IDS, AtRest, Check, CheckAtRest, EventLog, LogEvent, Snapshot
from crossdock_events.orders import OrderEvent
from crossdock_events.reservations import ReservationEvent
from order_service.orders.model import NEXT, Status
from order_service.orders.stored import STATUS_AFTER, StoredOrder, unlike_events, wrong_in

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
            WHEN alike IS NOT TRUE THEN 'its waiting_items have another partner or time'
        END AS trouble
        FROM orders
        CROSS JOIN LATERAL (
            SELECT array_agg(item_id ORDER BY item_id) AS indexed,
                   bool_and(
                       partner = orders.partner AND CASE WHEN pg_input_is_valid(waiting ->> 'since', 'timestamptz')
                                                         THEN since = (waiting ->> 'since')::timestamptz END
                   ) AS alike
            FROM waiting_items WHERE order_id = orders.id
        ) AS waiting_item
        CROSS JOIN LATERAL (
            SELECT array_agg(DISTINCT item #>> '{}' ORDER BY item #>> '{}') AS named
            FROM jsonb_path_query(waiting, '$.lines[*].item_id') AS item
        ) AS waiting_line
    ) AS found
    WHERE trouble IS NOT NULL ORDER BY id
"""

ROWS = """
    SELECT id::text, partner, reference, replaces::text, customer_id, fingerprint, status, version,
           reservation_sequence, placed_at, decided_at, redacted_at, redacted_fingerprint,
           coalesce(waiting, '{}')::text, document::text, coalesce(base_quantities, '{}')::text,
           history::text
    FROM orders
"""

# A unit adds one row for each order that it changes, and all events of a unit have one time.
CHANGES = f"""
    SELECT format('%s of %s has %s rows in the feed and %s changes%s', id, partner, coalesce(rows, 0),
                  coalesce(changes, 0), CASE WHEN last >= reached THEN '; no reader reaches its last row' END)
    FROM (
        SELECT id, partner,
               (SELECT count(DISTINCT time) FROM jsonb_path_query(history, '$[*].time') AS time) AS changes
        FROM orders
    ) AS stored
    FULL JOIN (
        SELECT order_id AS id, partner, count(*) AS rows, max(changed_in) AS last FROM order_changes GROUP BY 1, 2
    ) AS fed USING (id, partner)
    CROSS JOIN (SELECT {COMMIT_LIMIT} AS reached) AS position
    WHERE rows IS DISTINCT FROM changes OR last >= reached ORDER BY id
"""

# While no order is without a decision, a mark follows the clock.
MARKS = """
    SELECT format('the mark %s is at %s, which is in the future', name, low) FROM sweeps
    WHERE ('x' || left(replace(low::text, '-', ''), 12))::bit(48)::bigint > extract(epoch FROM clock_timestamp()) * 1000
    UNION ALL
    SELECT format('%s is still placed, and the mark %s is at %s', id, name, low)
    FROM sweeps JOIN orders ON id < low AND status = 'placed'
"""

KEYS = """
    SELECT format('%s of %s for %s: %s', key, answered.partner, route, answer)
    FROM (
        SELECT *,
               CASE WHEN pg_input_is_valid(answer ->> 'order_id', 'uuid') THEN (answer ->> 'order_id')::uuid END AS id
        FROM idempotency_key
    ) AS answered
    LEFT JOIN orders ON orders.id = answered.id
         AND (orders.partner = answered.partner OR answered.partner LIKE 'operator %')
    WHERE answer IS NOT NULL AND route <> 'POST /v1/dead-letters:resolve' AND (
        orders.id IS NULL
        OR answer ->> 'reference' <> reference
        OR CASE WHEN pg_input_is_valid(answer ->> 'placed_at', 'timestamptz')
                THEN (answer ->> 'placed_at')::timestamptz <> placed_at
                ELSE answer ->> 'placed_at' IS NOT NULL END
        OR answer ->> 'currency' <> orders.document ->> 'currency'
        OR answer ->> 'total' <> orders.document ->> 'total'
    )
    ORDER BY 1
"""


async def _orders(sql: asyncpg.Connection) -> AsyncIterator[StoredOrder]:
    async for *columns, waiting, document, base, history in sql.cursor(ROWS, prefetch=500):
        yield StoredOrder(*columns, *map(json.loads, (waiting, document, base, history)))


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


def _read(order: StoredOrder, compare: Callable[..., str | None], *events: Sequence[LogEvent]) -> str | None:
    """Return the difference that `compare` finds. An edit by hand can give the JSON of a row any form."""
    try:
        return compare(order, *events)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"it cannot be read ({type(error).__name__}: {error})"


async def _not_its_history(snapshot: Snapshot) -> AsyncIterator[str]:
    async for order in _orders(snapshot.sql):
        if wrong := _read(order, wrong_in):
            yield f"{order.id}: {wrong}"


async def _not_its_events(at_rest: AtRest) -> AsyncIterator[str]:
    orders, answers = at_rest.log.events(OrderEvent), at_rest.log.events(ReservationEvent)
    async for order in _orders(at_rest.sql):
        answered = answers.get(order.id, ())
        if difference := _read(order, unlike_events, orders.get(order.id, ()), answered):
            yield f"{order.id}: {difference}"
        if order.reservation_sequence > (given := _last_sequence(answered)):
            yield f"{order.id} has applied {order.reservation_sequence} answers, inventory sent {given}"
    async for order_id in at_rest.without_row(OrderEvent, ORDERS):
        yield f"{order_id} has events but no row in orders"


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
OTHERS_KEY = Check(1, "other", "idempotency keys that name no order of their partner, or another order", KEYS)
NEVER_SWEPT = Check(1, "lost", "sweep marks in the future, or beyond an order without a decision", MARKS)
NOT_ITS_HISTORY = Check(
    5, "other", "orders whose columns differ from their history, document or fingerprint", _not_its_history
)
NOT_FED = Check(5, "other", "orders whose changes differ from the feed", CHANGES)
UNDECIDED = CheckAtRest(1, "lost", "orders without a decision, although no message is left to process", _undecided)
DECIDED_TWICE = CheckAtRest(4, "duplicated", "orders decided twice", _decided_twice)
IMPOSSIBLE = CheckAtRest(4, "other", "orders whose events do not follow from each other", _impossible)
UNHEARD = CheckAtRest(4, "lost", "orders that did not apply an answer of inventory", _unheard)
NOT_ITS_EVENTS = CheckAtRest(5, "other", "orders that differ from their events", _not_its_events)

CHECKS = (
    MISSING,
    ANOTHER,
    NAMELESS,
    OTHERS_KEY,
    NEVER_SWEPT,
    NOT_ITS_HISTORY,
    NOT_FED,
    UNDECIDED,
    DECIDED_TWICE,
    IMPOSSIBLE,
    UNHEARD,
    NOT_ITS_EVENTS,
)
