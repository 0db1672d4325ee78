"""Events of orders for tests."""

from decimal import Decimal
from uuid import UUID

from uuid_utils.compat import uuid7

from crossdock_events.orders import OrderBackordered, OrderLine, OrderPlaced, WaitingLine


def placed(
    customer_id: str | None = "C-1", partner: str = "acme", order_id: UUID | None = None, reference: str = "PO-1"
) -> OrderPlaced:
    """Return an order of three of SKU-1, line 1."""
    return OrderPlaced(
        order_id=order_id or uuid7(),
        partner=partner,
        reference=reference,
        channel="api",
        customer_id=customer_id,
        priority=5,
        partial=False,
        currency="USD",
        lines=(OrderLine(line_id="1", item_id="SKU-1", quantity=3, amount=Decimal("29.97")),),
        total=Decimal("29.97"),
    )


def backordered(order: OrderPlaced, missing: int = 2) -> OrderBackordered:
    line = WaitingLine(line_id="1", item_id="SKU-1", requested=3, reserved=3 - missing, backordered=missing)
    return OrderBackordered(order_id=order.order_id, partner=order.partner, reference=order.reference, lines=(line,))
