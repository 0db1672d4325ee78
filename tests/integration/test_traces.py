"""Follow one request through all services and back by its trace, and by correlation and causation ids."""

from uuid import uuid4

from harness import Harness, eventually, order

from crossdock_events import Envelope, Event
from crossdock_events.orders import OrderConfirmed, OrderPlaced
from crossdock_events.reservations import StockReserved
from crossdock_events.stock import StockLevelChanged

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_trace_correlation_and_causation_cross_the_whole_saga(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    async with harness.client() as client:
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        placed_order = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)), **headers)
        await harness.until(client, placed_order["id"], "confirmed")
        timeline = (await client.get(placed_order["links"]["timeline"])).json()["events"]
    placed, confirmed = await harness.events(OrderPlaced, placed_order["id"])
    (reserved,) = await harness.events(StockReserved, placed_order["id"])

    async def settled() -> Envelope[Event] | None:
        return next((each for each in await harness.events(StockLevelChanged, item) if each.sequence == 2), None)

    level = await eventually(settled)
    assert [type(each.event) for each in (placed, confirmed, reserved)] == [OrderPlaced, OrderConfirmed, StockReserved]

    for each in (placed, reserved, confirmed, level):
        assert each.cause.traceparent is not None
        assert each.cause.traceparent.split("-")[1] == TRACE
        assert each.cause.correlation_id == placed.cause.correlation_id
    assert reserved.cause.causation_id == placed.id
    assert level.cause.causation_id == placed.id
    assert confirmed.cause.causation_id == reserved.id
    assert [each["because"]["kind"] for each in timeline] == ["request", "event"]
    assert timeline[1]["because"]["id"] == str(reserved.id)
