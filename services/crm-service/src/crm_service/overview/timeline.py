"""What happened to a customer, from each table that knows a part of it, joined when it is read."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.customers.personal import Eyes
from crm_service.orders.look import ordered_as
from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("timeline", tuple[datetime, str, str])

ORDERS: Final = f"""
    FROM customer_orders AS orders JOIN ({ordered_as("root = $2")}) AS known USING (partner, external_id)
    WHERE placed_at >= known.since AND ($1::text IS NULL OR orders.partner = $1)
"""
MEMBERS: Final = "SELECT id FROM customers WHERE root = $2"
FOR_ALL: Final = (
    f"""
    SELECT placed_at, 'order_placed', order_id::text, order_id, NULL::uuid, NULL::uuid, NULL::text, reference {ORDERS}
    """,
    f"""
    SELECT orders.since, 'order_' || status, order_id::text, order_id, NULL::uuid, NULL::uuid, NULL::text, reference
    {ORDERS} AND status <> 'placed'
    """,
    f"""
    SELECT at, 'case_' || did, case_id::text || ' ' || entry.number, NULL::uuid, case_id, mail_id,
           CASE WHEN $1::text IS NULL THEN who END, '#' || cases.number
    FROM cases JOIN case_entries AS entry ON entry.case_id = cases.id
    WHERE customer_id IN ({MEMBERS})
          AND ($1::text IS NULL OR cases.partner = $1 AND did NOT IN ('noted', 'assigned'))
    """,
)
FOR_STAFF: Final = (
    f"""
    SELECT mails.at, 'mail_' || direction, mails.id::text, NULL::uuid, case_id, mails.id, NULL::text, mails.state
    FROM cases JOIN mails ON mails.case_id = cases.id WHERE customer_id IN ({MEMBERS})
    """,
    f"""
    SELECT at, kind, id::text, NULL::uuid, NULL::uuid, NULL::uuid, who, body
    FROM customer_activities WHERE customer_id IN ({MEMBERS})
    """,
    f"""
    SELECT at, 'changed', customer_id::text || ' ' || version, NULL::uuid, NULL::uuid, NULL::uuid, min(who),
           string_agg(name, ', ' ORDER BY name)
    FROM customer_changes WHERE customer_id IN ({MEMBERS}) GROUP BY customer_id, version, at
    """,
    f"""
    SELECT at, 'consent_' || state, customer_id::text || ' ' || version, NULL::uuid, NULL::uuid, NULL::uuid, who,
           purpose || ' ' || channel
    FROM consents WHERE customer_id IN ({MEMBERS})
    """,
)


def _query(parts: tuple[str, ...]) -> str:
    """Join the parts. Each gives at most a page, so that a customer with many orders is not read whole."""
    page = """
        SELECT * FROM ({}) AS part (at, kind, id, order_id, case_id, mail_id, who, text)
        WHERE $3::timestamptz IS NULL OR (at, kind, id) < ($3, $4::text, $5::text)
        ORDER BY at DESC, kind DESC, id DESC LIMIT $6
    """
    joined = " UNION ALL ".join(f"({page.format(part)})" for part in parts)
    return f"SELECT * FROM ({joined}) AS every ORDER BY at DESC, kind DESC, id DESC LIMIT $6"


PARTNERS: Final = _query(FOR_ALL)
EVERYTHING: Final = _query(FOR_ALL + FOR_STAFF)


class TimelineItem(BaseModel):
    """Something that happened. Partners see their orders and cases."""

    at: datetime
    kind: Annotated[str, Field(examples=["order_placed", "case_opened", "mail_in", "note", "call", "changed"])]
    order_id: UUID | None
    case_id: UUID | None
    mail_id: UUID | None
    who: Annotated[str | None, Field(description="The person of the company")]
    text: Annotated[str | None, Field(description="The reference, the number, the note, or the names that changed")]


async def timeline(
    sql: asyncpg.Connection, partner: str | None, root: UUID, cursor: str | None, limit: int, eyes: Eyes
) -> Page[TimelineItem]:
    """Return what happened to a customer and to those that were merged into it, the newest first."""
    query = EVERYTHING if partner is None else PARTNERS
    rows = await sql.fetch(query, partner, root, *(CURSOR.decode(cursor) or (None, None, None)), limit + 1)
    shown = rows[:limit]
    items = [
        TimelineItem(**{**row, "text": eyes.text(row["text"]) if row["kind"] in ("note", "call") else row["text"]})
        for row in shown
    ]
    last = (shown[-1]["at"], shown[-1]["kind"], shown[-1]["id"]) if len(rows) > limit else None
    return Page(items=items, next=None if last is None else CURSOR.encode(last))
