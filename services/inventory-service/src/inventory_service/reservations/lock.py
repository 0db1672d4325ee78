"""Lock the rows of a mixed batch of orders and cancels in the global order: reservations, then heads."""

from collections.abc import Sequence

from crossdock_chassis import Unit
from crossdock_events import Envelope
from crossdock_events.orders import OrderCancelled, OrderEvent, OrderPlaced
from inventory_service.reservations import store
from inventory_service.stock import store as stocks


async def lock(unit: Unit, batch: Sequence[Envelope[OrderEvent]]) -> None:
    events = [envelope.event for envelope in batch]
    cancelled = {event.order_id for event in events if isinstance(event, OrderCancelled)}
    placed = [event for event in events if isinstance(event, OrderPlaced)]
    items = {line.item_id for event in placed for line in event.lines}
    await stocks.lock(unit, items | await store.lock(unit, cancelled))
