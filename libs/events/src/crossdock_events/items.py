"""Events about the items that can be ordered."""

from typing import Annotated

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic


class ItemEvent(Event, topic=Topic("crossdock.items.v1", key="item_id", owner="inventory-service")):
    """Sent by inventory-service only. An order naming an item that was never registered is refused by HTTP routes."""

    item_id: Identifier
    unit_of_measure: Annotated[Code, OpenEnum("each", "kg", "g", "l", "ml", "m", "case", "pallet")]
    category: Identifier | None = None
    status: Annotated[Code, OpenEnum("active", "discontinued")]


class ItemRegistered(ItemEvent, type="crossdock.ItemRegistered.v1", carries="state", stability="draft"):
    """The item exists from now on."""


class ItemChanged(ItemEvent, type="crossdock.ItemChanged.v1", carries="state", stability="draft"):
    """The item as it now is. A discontinued one can no longer be ordered; what is reserved stays reserved."""
