"""The largest orders that HTTP accepts fit into events: ADR 0033."""

from uuid import uuid4

import pytest
from warehouse import Warehouse

from crossdock_events.orders import OrderLine, OrderPlaced
from crossdock_events.reservations import StockReleased, StockReserved
from inventory_service.reservations.model import MAX_SPLITS

PLACES = [f"{n:-<64}" for n in range(8)]
SPLIT = MAX_SPLITS // (len(PLACES) - 1)
"""The number of lines that need all places, so that the order has `MAX_SPLITS` more allocations than lines."""


WIDE = "\U0001d11e"  # four bytes
IDS = {
    500: [(f"{n:{WIDE}<36}", f"{n:{WIDE}<64}") for n in range(500)],
    2_000: [
        *((f"{n:{WIDE}<36}", f"{n:{WIDE}<64}") for n in range(SPLIT)),
        *((f"{n:-<36}", f"{n:-<48}") for n in range(SPLIT, 2_000)),
    ],
}


@pytest.mark.parametrize("lines", [500, 2_000])
async def test_events_of_the_largest_order_fit(warehouse: Warehouse, lines: int) -> None:
    ids = IDS[lines]
    items = [item for _, item in ids]
    assert sum(len(line.encode()) + len(item.encode()) for line, item in ids) > 190_000
    await warehouse.open(*items, locations=PLACES)
    await warehouse.receive_all([(item, 1) for item in items], PLACES[0])
    for place in PLACES[1:]:
        await warehouse.receive_all([(item, 1) for item in items[:SPLIT]], place)
    asked = [
        OrderLine(line_id=line, item_id=item, quantity=len(PLACES) if n < SPLIT else 1, amount="999999999999999")
        for n, (line, item) in enumerate(ids)
    ]
    order = OrderPlaced(
        order_id=uuid4(),
        partner="acme",
        reference="PO-1",
        channel="api",
        priority=5,
        partial=False,
        currency="USD",
        lines=tuple(asked),
        total="999999999999999",
    )
    [reserved] = [each for each in await warehouse.reserve(order) if isinstance(each, StockReserved)]
    assert sum(len(line.allocations) for line in reserved.lines) == lines + MAX_SPLITS
    [released] = [each for each in await warehouse.cancel(order.order_id) if isinstance(each, StockReleased)]
    assert len(released.lines) == lines + MAX_SPLITS
