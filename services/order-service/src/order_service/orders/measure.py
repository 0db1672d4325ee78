"""Measure how many orders wait, by reason, and the age of the oldest."""

from typing import Final

from crossdock_chassis import WAITING_OLDEST, WAITING_ORDERS, Unit
from order_service.orders import store

COUNT_LIMIT: Final = 100_000

COUNT = """
    SELECT 'answer' AS reason, count(*) AS orders, min(placed_at) AS oldest FROM (
        SELECT placed_at FROM orders
        WHERE id >= coalesce((SELECT low FROM sweeps WHERE name = 'unanswered'), $1) AND status = 'placed'
        ORDER BY id LIMIT $2
    ) AS unanswered
    UNION ALL
    SELECT 'stock', (SELECT count(*) FROM (SELECT DISTINCT order_id FROM waiting_items LIMIT $2) AS backordered),
           (SELECT min(since) FROM waiting_items)
"""


async def measure_waiting(unit: Unit) -> None:
    """Count up to `COUNT_LIMIT` orders, because millions may wait after an outage."""
    for row in await unit.sql.fetch(COUNT, store.first_id_of(store.EPOCH), COUNT_LIMIT):
        WAITING_ORDERS.labels(row["reason"]).set(row["orders"])
        oldest = row["oldest"]
        WAITING_OLDEST.labels(row["reason"]).set(0 if oldest is None else (unit.now - oldest).total_seconds())
