"""Look up what a case may name: an order and its customer, for the partner that asks."""

import json
from collections.abc import Collection
from typing import Final, NamedTuple
from uuid import UUID

from crm_service.customers.views import SEEN
from crossdock_chassis import Unit


def ordered_as(customers: str) -> str:
    """Return a query of `partner`, `external_id` and `since`: the orders of customers since then.

    `customers` is the condition on the table `customers`.
    """
    return f"""
        SELECT met.partner, met.external_id, links.since
        FROM customers JOIN customer_links AS links ON customer_id = customers.id
        JOIN customer_meetings AS met USING (namespace, external_id) WHERE {customers}
        UNION ALL
        SELECT name, '', '-infinity' FROM customers JOIN partners ON account_id = customers.id WHERE {customers}
    """


ORDER: Final = """
    SELECT orders.partner, orders.lines::text,
           (SELECT root FROM customers
            WHERE id = CASE orders.external_id WHEN '' THEN partners.account_id ELSE links.customer_id END
           ) AS customer_id
    FROM customer_orders AS orders JOIN partners ON partners.name = orders.partner
    LEFT JOIN customer_links AS links
         ON links.namespace = partners.namespace AND links.external_id = orders.external_id
            AND orders.placed_at >= links.since
    WHERE orders.order_id = $2 AND ($1::text IS NULL OR orders.partner = $1)
"""
KNOWS: Final = f"SELECT EXISTS (SELECT FROM customers WHERE id = $2 AND root = id AND erased_at IS NULL AND {SEEN})"


class KnownOrder(NamedTuple):
    partner: str
    customer_id: UUID
    lines: Collection[str]


async def order(unit: Unit, partner: str | None, order_id: UUID) -> KnownOrder | None:
    """Return an order of the partner, or of any without one, once its customer is registered."""
    row = await unit.sql.fetchrow(ORDER, partner, order_id)
    if row is None or row["customer_id"] is None:
        return None
    return KnownOrder(row["partner"], row["customer_id"], {line[0] for line in json.loads(row["lines"] or "[]")})


async def knows(unit: Unit, partner: str | None, customer_id: UUID) -> bool:
    """Return whether the partner has ordered for the customer. Without a partner, whether there is one."""
    known: bool = await unit.sql.fetchval(KNOWS, partner, customer_id)
    return known
