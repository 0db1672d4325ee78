from decimal import Decimal
from uuid import UUID

from uuid_utils.compat import uuid7

from crossdock_events.orders import OrderCancelled, OrderLine, OrderPlaced


def placed(reference: str = "PO-1", order_id: UUID | None = None) -> OrderPlaced:
    line = OrderLine(line_id="1", item_id="SKU-1", quantity=2, unit_price=Decimal("9.90"), amount=Decimal("19.80"))
    return OrderPlaced(
        order_id=order_id or uuid7(),
        partner="acme",
        reference=reference,
        channel="api",
        customer_id=None,
        priority=5,
        requested_date=None,
        partial=False,
        ship_to=None,
        currency="USD",
        lines=(line,),
        total=Decimal("19.80"),
    )


def cancelled(order: OrderPlaced) -> OrderCancelled:
    return OrderCancelled(
        order_id=order.order_id, partner=order.partner, reference=order.reference, reason="partner_request"
    )
