"""Look up what a case may name: an order and its customer, for the partner that asks."""

import json
from collections.abc import Collection
from typing import Final, NamedTuple
from uuid import UUID

from crm_service.customers.views import SEEN
from crossdock_chassis import Unit, columns


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


ORDERS: Final = """
    SELECT orders.order_id, orders.partner, orders.lines::text,
           (SELECT root FROM customers
            WHERE id = CASE orders.external_id WHEN '' THEN partners.account_id ELSE links.customer_id END
           ) AS customer_id
    FROM customer_orders AS orders JOIN partners ON partners.name = orders.partner
    LEFT JOIN customer_links AS links
         ON links.namespace = partners.namespace AND links.external_id = orders.external_id
            AND orders.placed_at >= links.since
    WHERE orders.order_id = ANY ($1::uuid[])
"""
KNOWN: Final = f"""
    SELECT asked.partner, asked.id FROM unnest($1::text[], $2::uuid[]) AS asked (partner, id) JOIN customers USING (id)
    WHERE root = id AND erased_at IS NULL AND {SEEN.replace("$1", "asked.partner")}
"""


class KnownOrder(NamedTuple):
    partner: str
    customer_id: UUID
    lines: Collection[str]


async def orders(unit: Unit, ids: Collection[UUID]) -> dict[UUID, KnownOrder]:
    """Return orders of any partner by their ids, once their customers are registered."""
    rows = await unit.sql.fetch(ORDERS, list(ids)) if ids else []
    return {
        row["order_id"]: KnownOrder(
            row["partner"], row["customer_id"], {line[0] for line in json.loads(row["lines"] or "[]")}
        )
        for row in rows
        if row["customer_id"] is not None
    }


async def known(unit: Unit, asked: Collection[tuple[str | None, UUID]]) -> set[tuple[str | None, UUID]]:
    """Return those of (partner, customer) for whom the partner has ordered. Without a partner, who exists."""
    return {(partner, id) for partner, id in await unit.sql.fetch(KNOWN, *columns(asked))} if asked else set()
