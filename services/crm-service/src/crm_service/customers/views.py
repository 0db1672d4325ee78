"""What clients see of customers, and the queries behind it."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.customers.model import NoSuchCustomer, match_of
from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("customers", UUID)

SEEN: Final = """
    ($1::text IS NULL OR customers.id IN (
        SELECT links.customer_id FROM customer_meetings AS met
        JOIN customer_links AS links USING (namespace, external_id) WHERE met.partner = $1
        UNION ALL SELECT account_id FROM partners WHERE name = $1 AND account_id IS NOT NULL
    ))
"""
"""Whether the partner $1 has ordered for the customer. Without a partner everything is seen."""

FIELDS: Final = """
    id, kind, origin, display_name AS name, registered_at,
    (SELECT array_agg(address ORDER BY added_at, match) FROM channels WHERE customer_id = customers.id) AS emails,
    CASE kind WHEN 'account' THEN ARRAY(SELECT name FROM partners WHERE account_id = customers.id)
    ELSE ARRAY(
        SELECT DISTINCT met.partner FROM customer_links AS links
        JOIN customer_meetings AS met USING (namespace, external_id)
        WHERE links.customer_id = customers.id AND ($1::text IS NULL OR met.partner = $1) ORDER BY 1
    ) END AS partners,
    ARRAY(
        SELECT DISTINCT links.external_id FROM customer_links AS links
        JOIN customer_meetings AS met USING (namespace, external_id)
        WHERE links.customer_id = customers.id AND ($1::text IS NULL OR met.partner = $1) ORDER BY 1
    ) AS external_ids
"""

ONE: Final = f"SELECT {FIELDS} FROM customers WHERE id = $2 AND {SEEN}"
PAGE: Final = f"""
    SELECT {FIELDS} FROM customers
    WHERE {SEEN} AND ($2::uuid IS NULL OR id < $2)
          AND ($3::text IS NULL OR id IN (SELECT customer_id FROM customer_links WHERE external_id = $3))
          AND ($4::uuid IS NULL OR id IN (
              SELECT coalesce(links.customer_id, partners.account_id)
              FROM customer_orders AS orders JOIN partners ON partners.name = orders.partner
              LEFT JOIN customer_links AS links
                   ON links.namespace = partners.namespace AND links.external_id = orders.external_id
              WHERE orders.order_id = $4
          ))
          AND ($5::text IS NULL OR id IN (SELECT customer_id FROM channels WHERE match = $5))
    ORDER BY id DESC LIMIT $6
"""
SUMMARY: Final = """
    SELECT count(*) FILTER (WHERE kind = 'person') AS people, count(*) FILTER (WHERE kind = 'account') AS accounts,
           (SELECT count(*) FROM (
               SELECT FROM customer_links JOIN customer_meetings USING (namespace, external_id)
               GROUP BY customer_id HAVING count(DISTINCT partner) > 1
           ) AS several) AS of_several_partners
    FROM customers
"""


class CustomerView(BaseModel):
    """A customer. A partner sees its own name and its own ids of the customer, and nobody else's."""

    id: UUID
    kind: Annotated[Literal["person", "account"], Field(description="An account has a partner's orders of no customer")]
    origin: Annotated[str, Field(description="How it was met: order, mail or staff")]
    name: str | None
    emails: list[str]
    partners: Annotated[list[str], Field(description="The partners that have ordered for it")]
    external_ids: Annotated[list[str], Field(description="The ids that they use")]
    registered_at: datetime


class CustomerSummary(BaseModel):
    people: int
    accounts: int
    of_several_partners: Annotated[int, Field(description="People for whom two or more partners have ordered")]


async def get(sql: asyncpg.Connection, partner: str | None, id: UUID) -> CustomerView:
    """Return a customer of the partner, or any without one. Raise NoSuchCustomer, also for another's customer."""
    row = await sql.fetchrow(ONE, partner, id)
    if row is None:
        raise NoSuchCustomer(f"None of your customers has the id {id}")
    return _view(row)


async def page(
    sql: asyncpg.Connection,
    partner: str | None,
    cursor: str | None,
    limit: int,
    *,
    external_id: str | None,
    order_id: UUID | None,
    email: str | None,
) -> Page[CustomerView]:
    """Return customers, the newest first."""
    match = None if email is None else match_of(email)
    rows = await sql.fetch(PAGE, partner, CURSOR.decode(cursor), external_id, order_id, match, limit + 1)
    shown = rows[:limit]
    return Page(items=[_view(row) for row in shown], next=CURSOR.encode(shown[-1]["id"]) if len(rows) > limit else None)


async def summary(sql: asyncpg.Connection) -> CustomerSummary:
    return CustomerSummary(**dict(await sql.fetchrow(SUMMARY)))


def _view(row: asyncpg.Record) -> CustomerView:
    return CustomerView(**{**row, "emails": row["emails"] or []})
