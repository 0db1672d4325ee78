"""Redact the orders of erased customers, each once it has ended.

`CustomerErased` is stored as a row for each partner and customer id. A job notes the orders of each row, in chunks, and
redacts those that have ended, in chunks. Each chunk is a unit. So after a crash the job goes on where it was.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from crossdock_chassis import JobRun, Unit, columns, wake
from crossdock_events import Envelope
from crossdock_events.customers import CustomerErased
from crossdock_events.orders import OrderRedacted
from order_service.orders import timeline
from order_service.orders.redacted import fingerprint_of_redacted, redacted

ERASURES: Final = "erasures"
"""The name that wakes the job."""
NOTED_AT_ONCE: Final = 2_000
REDACTED_AT_ONCE: Final = 100
"""The documents of so many of the largest orders have about 30 MB."""
COMMITTED_AFTER: Final = timedelta(seconds=30)
"""No unit lasts this long. So an order that was placed longer ago is visible, or will never be."""

# A repeated erasure looks at all orders again, because a restore may have brought some back.
NOTE: Final = """
    INSERT INTO erasures AS old (partner, external_id, erased_at)
    SELECT partner, external_id, max(erased_at) FROM unnest($1::text[], $2::text[], $3::timestamptz[])
         AS new (partner, external_id, erased_at)
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (partner, external_id) DO UPDATE
    SET erased_at = greatest(old.erased_at, excluded.erased_at), scanned_to = DEFAULT, scanned_id = DEFAULT
"""

# At the end of the orders, `scanned_to` stays behind for as long as an order of an earlier time can still appear.
SCAN: Final = """
    WITH erasure AS (
        SELECT * FROM erasures WHERE scanned_to < erased_at AND (partner, external_id) > ($1, $2)
        ORDER BY partner, external_id LIMIT 1 FOR UPDATE
    ), found AS (
        SELECT orders.id, orders.placed_at FROM erasure JOIN orders
             ON orders.partner = erasure.partner AND orders.customer_id = erasure.external_id
                AND (orders.placed_at, orders.id) > (scanned_to, scanned_id) AND orders.placed_at <= erased_at
        ORDER BY orders.placed_at, orders.id LIMIT $3
    ), noted AS (
        INSERT INTO orders_to_redact (order_id) SELECT id FROM found ON CONFLICT DO NOTHING
    ), last AS (
        SELECT placed_at, id FROM found ORDER BY placed_at DESC, id DESC LIMIT 1
    )
    UPDATE erasures SET
        scanned_to = CASE WHEN full_chunk THEN (SELECT placed_at FROM last)
                          ELSE greatest(erasures.scanned_to, least(erasures.erased_at, $4)) END,
        scanned_id = CASE WHEN full_chunk THEN (SELECT id FROM last)
                          ELSE '00000000-0000-0000-0000-000000000000'::uuid END
    FROM erasure CROSS JOIN (SELECT count(*) = $3 AS full_chunk FROM found) AS chunk
    WHERE erasures.partner = erasure.partner AND erasures.external_id = erasure.external_id
    RETURNING erasures.partner, erasures.external_id, full_chunk
"""

ENDED: Final = "(status IN ('rejected', 'cancelled') OR status = 'confirmed' AND decided_at <= $1)"
DUE: Final = f"""
    SELECT id, partner, reference, version, fingerprint, document::text, history::text
    FROM orders_to_redact JOIN orders ON id = order_id
    WHERE {ENDED} ORDER BY id LIMIT $2 FOR UPDATE OF orders
"""
REDACT: Final = """
    WITH redacted AS (
        UPDATE orders SET version = new.version, document = new.document, history = new.history,
                          redacted_at = coalesce(redacted_at, $1), redacted_fingerprint = new.fingerprint
        FROM unnest($2::uuid[], $3::bigint[], $4::jsonb[], $5::jsonb[], $6::bytea[])
             AS new (id, version, document, history, fingerprint)
        WHERE orders.id = new.id
        RETURNING orders.partner, orders.id
    )
    INSERT INTO order_changes (partner, order_id) SELECT partner, id FROM redacted
"""
# The reason of a cancel by an operator is a code, then its note.
FORGET_NOTES: Final = """
    UPDATE operator_action SET why = split_part(why, ': ', 1)
    WHERE target = ANY ($1::text[]) AND action = 'order:cancel' AND strpos(why, ': ') > 0
"""
# A key has the body of its request, for 72 hours. Its fingerprint and answer stay.
FORGET_BODIES: Final = """
    UPDATE idempotency_key SET document = NULL
    WHERE answer ->> 'order_id' = ANY ($1::text[]) AND document IS NOT NULL
"""
DONE: Final = "DELETE FROM orders_to_redact WHERE order_id = ANY ($1::uuid[])"
NOTE_REPEATED: Final = "INSERT INTO orders_to_redact (order_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"
NOTE_LATE: Final = """
    INSERT INTO orders_to_redact (order_id)
    SELECT id FROM orders JOIN erasures ON erasures.partner = orders.partner AND external_id = customer_id
    WHERE id = $1 AND placed_at <= erased_at
    ON CONFLICT DO NOTHING
"""


async def note_erasures(unit: Unit, batch: Sequence[Envelope[CustomerErased]]) -> None:
    named = [(each.partner, each.external_id, erased.time) for erased in batch for each in erased.event.ordered_as]
    if named:
        await unit.sql.execute(NOTE, *columns(named))
        await wake(unit, ERASURES)


async def note_repeated(unit: Unit, order_ids: Sequence[UUID]) -> None:
    """Have the bodies forgotten with which redacted orders were sent again."""
    if order_ids:
        await unit.sql.execute(NOTE_REPEATED, order_ids)


async def note_late(unit: Unit, order_id: UUID) -> None:
    """Have the order redacted again if its customer is erased: it has got a note."""
    await unit.sql.execute(NOTE_LATE, order_id)


def redact_after(ended_after: timedelta) -> Callable[[JobRun], Awaitable[Mapping[str, object]]]:
    """Return a job that redacts orders. A confirmed order has ended `ended_after` its confirmation."""

    async def redact_orders(run: JobRun) -> Mapping[str, object]:
        await _scan(run)
        count = 0
        while True:
            async with run.unit() as unit:
                rows = await unit.sql.fetch(DUE, unit.now - ended_after, REDACTED_AT_ONCE)
                if not rows:
                    return {"redacted": count}
                count += await _redact(unit, rows)

    return redact_orders


async def _scan(run: JobRun) -> None:
    """Note the orders of each erasure that is not scanned to its end."""
    after = "", ""
    while True:
        async with run.unit() as unit:
            found = await unit.sql.fetchrow(SCAN, *after, NOTED_AT_ONCE, unit.now - COMMITTED_AFTER)
        if found is None:
            return
        if not found["full_chunk"]:
            after = found["partner"], found["external_id"]


async def _redact(unit: Unit, rows: Sequence[asyncpg.Record]) -> int:
    """Redact orders that the unit has locked, and return how many had personal data."""
    changed = []
    for row in rows:
        document, history, parts = redacted(from_json(row["document"]), from_json(row["history"]))
        if parts:
            event = OrderRedacted(
                order_id=row["id"], partner=row["partner"], reference=row["reference"], parts=tuple(parts)
            )
            published = unit.publish(event, sequence=row["version"] + 1, cause=None)
            history = [*history, from_json(timeline.entry(published, timeline.CLOCK))]
            changed.append(
                (
                    row["id"],
                    published.sequence,
                    to_json(document).decode(),
                    to_json(history).decode(),
                    fingerprint_of_redacted(row["fingerprint"], document),
                )
            )
    if changed:
        await unit.sql.execute(REDACT, unit.now, *columns(changed))
        await unit.sql.execute(FORGET_NOTES, [f"/v1/orders/{id}" for id, *_ in changed])
    ids = [row["id"] for row in rows]
    await unit.sql.execute(FORGET_BODIES, [str(id) for id in ids])
    await unit.sql.execute(DONE, ids)
    return len(changed)
