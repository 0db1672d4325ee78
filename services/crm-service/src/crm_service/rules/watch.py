"""Follow the troubles of orders: rules watch them from their begin to their end."""

from collections.abc import Sequence

from crm_service.rules import store
from crm_service.rules.store import BACKORDERED
from crossdock_chassis import Unit
from crossdock_events import Envelope
from crossdock_events.orders import OrderBackordered, OrderEvent


async def begin_backorders(unit: Unit, batch: Sequence[Envelope[OrderBackordered]]) -> None:
    """Note since when each order waits. It is sent again when quantities change, and the first one counts."""
    since = {each.event.order_id: each.time for each in reversed(batch)}
    await store.begin(unit, BACKORDERED, sorted(since.items()))


async def end_backorders(unit: Unit, batch: Sequence[Envelope[OrderEvent]]) -> None:
    await store.end(unit, BACKORDERED, {each.event.order_id for each in batch})
