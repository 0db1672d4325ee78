"""The queries of an export: all that an erasure takes, and what it keeps of ids, orders, consents and holds."""

from collections.abc import Mapping
from typing import Final

from crm_service.erasure.stores import NAMED, STORES
from crm_service.orders.look import ordered_as

EXPORTED: Final[Mapping[str, str]] = {store.name: store.export for store in STORES if store.exported} | {
    "mails that wait to be read": f"SELECT to_jsonb(mails)::text FROM mails WHERE state = 'stored' AND {NAMED}",
    "customer ids": "SELECT to_jsonb(links)::text FROM customer_links AS links WHERE customer_id = ANY ($1)",
    "orders": f"""
        SELECT to_jsonb(orders)::text FROM customer_orders AS orders
        JOIN ({ordered_as("customers.id = ANY ($1)")}) AS known USING (partner, external_id)
        WHERE placed_at >= known.since
    """,
    "consents": "SELECT to_jsonb(consents)::text FROM consents WHERE customer_id = ANY ($1)",
    "holds": "SELECT to_jsonb(holds)::text FROM holds WHERE customer_id = ANY ($1)",
}
