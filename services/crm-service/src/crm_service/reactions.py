"""The handlers for other services' events. A customer is registered by the first order that names it."""

from collections.abc import Mapping

from crm_service.customers.meet import Meet
from crm_service.orders.follow import ORDERS, follow_orders
from crm_service.tables import OrdersProjected
from crossdock_chassis import Projection, Reaction, on
from crossdock_events.orders import OrderEvent, OrderPlaced


def table(shared_namespaces: Mapping[str, str]) -> list[Reaction]:
    return [on(OrderPlaced, Meet(shared_namespaces).meet_customers)]


PROJECTIONS = [Projection(ORDERS, OrdersProjected.metadata, [on(OrderEvent, follow_orders)])]
