"""The handlers for other services' events: orders register customers, and rules watch the orders that wait."""

from collections.abc import Mapping

from crm_service.customers.meet import Meet
from crm_service.erasure.repeat import Repeat, repeat_unmerges
from crm_service.orders.follow import ORDERS, follow_orders
from crm_service.rules.watch import begin_backorders, end_backorders
from crm_service.tables import OrdersProjected
from crossdock_chassis import Projection, Reaction, on
from crossdock_events.customers import CustomerErased, CustomersUnmerged
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRejected,
)


def table(shared_namespaces: Mapping[str, str]) -> list[Reaction]:
    return [
        on(OrderPlaced, Meet(shared_namespaces).meet_customers),
        on(CustomerErased, Repeat(shared_namespaces).repeat_erasures),
        on(CustomersUnmerged, repeat_unmerges),
        on(OrderBackordered, begin_backorders),
        *(on(each, end_backorders) for each in (OrderConfirmed, OrderCancelled, OrderRejected)),
    ]


PROJECTIONS = [Projection(ORDERS, OrdersProjected.metadata, [on(OrderEvent, follow_orders)])]
