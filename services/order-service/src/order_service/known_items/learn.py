"""A projection of inventory's items: which can be ordered. It can be replayed and has no effects."""

from collections.abc import Sequence
from typing import Final

from crossdock_chassis import Unit
from crossdock_events import Envelope
from crossdock_events.items import ItemEvent
from order_service.known_items import store

KNOWN_ITEMS: Final = "known_items"


async def learn(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
    latest: dict[str, tuple[ItemEvent, int]] = {}
    for each in batch:
        item = each.event.item_id
        if item not in latest or latest[item][1] < each.sequence:
            latest[item] = each.event, each.sequence
    await store.keep(unit, latest)
