"""Edits by hand of analytics-service's database, each with the checks of `crossdock verify` that report it."""

from tampering import Tamper

from analytics_service.levels import checks as shown
from analytics_service.log import checks as kept
from analytics_service.orders.checks import NOT_THE_ORDERS
from crossdock_cli.verify import Violation

SWAPPED = """
    WITH pair AS (
        SELECT array_agg(position ORDER BY position) AS positions FROM log GROUP BY topic, partition
        HAVING count(*) > 1 LIMIT 1
    )
    UPDATE log SET position = positions[1] + positions[2] - position FROM pair
    WHERE position IN (positions[1], positions[2])
"""

ANALYTICS_TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "the log lost a record": (
        lambda c: c.analytics("DELETE FROM log WHERE position = 5"),
        {kept.NOT_THE_RECORDS, kept.GAPS},
    ),
    "an order is shown with another status": (
        lambda c: c.analytics("UPDATE orders_now SET status = 'placed' WHERE order_id = $1", c.confirmed),
        {NOT_THE_ORDERS},
    ),
    "a level is shown with other units": (
        lambda c: c.analytics("UPDATE levels_now SET on_hand = on_hand + 1 WHERE item_id = $1", c.items[0]),
        {shown.NOT_THE_LEVELS},
    ),
    "an item is shown with another unit of measure": (
        lambda c: c.analytics("UPDATE stock_items SET unit_of_measure = 'mm' WHERE item_id = $1", c.items[0]),
        {shown.NOT_THE_ITEMS},
    ),
    "two records of the log are swapped": (lambda c: c.analytics(SWAPPED), {kept.OUT_OF_ORDER}),
}
