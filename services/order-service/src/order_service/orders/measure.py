"""Measure how many orders wait, by reason, and the age of the oldest."""

from crossdock_chassis import WAITING_OLDEST, WAITING_ORDERS, Unit
from order_service.orders import store

COUNT = """
    SELECT 'answer' AS reason, count(*) AS orders, min(placed_at) AS oldest FROM orders
    WHERE id >= coalesce((SELECT low FROM sweeps WHERE name = 'unanswered'), $1) AND status = 'placed'
    UNION ALL
    SELECT 'stock', count(DISTINCT order_id), min(since) FROM waiting_items
"""


async def measure_waiting(unit: Unit) -> None:
    for row in await unit.sql.fetch(COUNT, store.first_id_of(store.EPOCH)):
        WAITING_ORDERS.labels(row["reason"]).set(row["orders"])
        oldest = row["oldest"]
        WAITING_OLDEST.labels(row["reason"]).set(0 if oldest is None else (unit.now - oldest).total_seconds())
