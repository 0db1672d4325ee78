"""The projections: tables that are built from the events of all services, and can be rebuilt from the first one."""

from analytics_service.levels.follow import LEVELS_NOW, follow_items, follow_levels
from analytics_service.orders.follow import ORDERS_NOW, follow_orders
from analytics_service.tables import LevelsProjected, OrdersProjected
from crossdock_chassis import Projection, on
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderEvent
from crossdock_events.stock import StockLevelChanged

PROJECTIONS = [
    Projection(ORDERS_NOW, OrdersProjected.metadata, [on(OrderEvent, follow_orders)], version=2),
    Projection(
        LEVELS_NOW,
        LevelsProjected.metadata,
        [on(StockLevelChanged, follow_levels), on(ItemEvent, follow_items)],
        version=2,
    ),
]
