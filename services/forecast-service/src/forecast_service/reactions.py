"""The projection: tables that are built from the events of orders, reservations, items and stock."""

from crossdock_chassis import Projection, on
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderCancelled, OrderPlaced
from crossdock_events.reservations import StockReserved
from crossdock_events.stock import StockLevelChanged
from forecast_service.demand.follow import DEMAND, Follow, follow_items
from forecast_service.demand.follow_stock import follow_stock
from forecast_service.places import Zones
from forecast_service.tables import DemandProjected


def projections(zones: Zones) -> list[Projection]:
    """Return the projection of demand. Its days depend on the time zones: after a change of them it must be rebuilt."""
    follow = Follow(zones)
    handlers = [
        on(OrderPlaced, follow.place),
        on(OrderCancelled, follow.cancel),
        on(StockReserved, follow.reserve),
        on(ItemEvent, follow_items),
        on(StockLevelChanged, follow_stock),
    ]
    return [Projection(DEMAND, DemandProjected.metadata, handlers, version=3)]
