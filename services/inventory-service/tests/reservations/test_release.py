"""Cancelled orders give their stock back."""

from warehouse import Warehouse, cancelled, placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver
from crossdock_events.reservations import StockReleased
from inventory_service.reservations.model import Status


async def test_cancel_before_its_order_bars_the_order(service: Service, warehouse: Warehouse, deliver: Deliver) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    order = placed(("a", 2))
    assert await deliver(service, cancelled(order.order_id)) == [
        StockReleased(order_id=order.order_id, reason="cancelled", lines=())
    ]
    assert await deliver(service, order) == []
    assert (await warehouse.held(order.order_id)).status is Status.RELEASED
    assert await warehouse.levels() == {("a", "north"): (5, 0)}
    await warehouse.check()


async def test_cancel_releases_all_stock_once(service: Service, warehouse: Warehouse, deliver: Deliver) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 5), ("b", 5)])
    order = placed(("a", 2), ("b", 1))
    first = await deliver(service, order, cancelled(order.order_id))
    (released,) = (event for event in first if isinstance(event, StockReleased))
    assert [(line.item_id, line.location_id, line.quantity) for line in released.lines] == [
        ("a", "north", 2),
        ("b", "north", 1),
    ]
    assert await warehouse.cancel(order.order_id) == []
    assert await warehouse.levels() == {("a", "north"): (5, 0), ("b", "north"): (5, 0)}
    await warehouse.check()
