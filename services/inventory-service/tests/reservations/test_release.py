"""Cancelled orders give their stock back."""

from uuid import uuid4

import httpx
import pytest
from warehouse import Warehouse, cancelled, placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver
from crossdock_events.reservations import StockReleased
from inventory_service.reservations.model import Status


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, ["ops:act"], subject="ann")


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


async def test_operator_gives_back_the_stock_of_a_lost_order_once(
    operator: httpx.AsyncClient, service: Service, warehouse: Warehouse, deliver: Deliver
) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    lost, waiting = placed(("a", 4)), placed(("a", 3))
    await deliver(service, lost, waiting)
    path, body = f"/v1/reservations/{lost.order_id}:release", {"reason": "restored from an older dump"}
    answers = [await operator.post(path, json=body) for _ in range(2)]
    assert [(each.status_code, each.json()["status"]) for each in answers] == [(200, "released")] * 2
    (row,) = await warehouse.fetch(
        "SELECT convert_from(value, 'utf8')::json FROM outbox WHERE headers->>'ce_type' = $1", StockReleased.ce_type
    )
    event = StockReleased.model_validate(row[0])
    assert (event.order_id, event.reason, event.lines[0].quantity) == (lost.order_id, "lost", 4)
    (action,) = await warehouse.fetch("SELECT who, action, why FROM operator_action")
    assert tuple(action) == ("ann", "reservation:release", body["reason"])
    await warehouse.drain()
    assert (await warehouse.held(waiting.order_id)).status is Status.OPEN
    assert await warehouse.levels() == {("a", "north"): (5, 3)}
    await warehouse.check()


async def test_order_that_never_came_has_nothing_to_give_back(
    operator: httpx.AsyncClient, warehouse: Warehouse
) -> None:
    path = f"/v1/reservations/{uuid4()}:release"
    absent, blank = [await operator.post(path, json={"reason": reason}) for reason in ("lost", "")]
    assert (absent.status_code, blank.status_code) == (404, 422)
    assert absent.json()["type"].endswith("no-such-reservation")
    assert not await warehouse.fetch("SELECT FROM reservations")
