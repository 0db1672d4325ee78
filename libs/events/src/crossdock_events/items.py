"""Events about the items that can be ordered."""

from typing import Annotated

from pydantic import Field

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic, Value


class ItemUnit(Value):
    """Another unit of an item: one `unit` is `factor` base units. For an item that is counted in g, kg has 1000."""

    unit: Code
    factor: Annotated[int, Field(gt=0)]


class ItemEvent(Event, topic=Topic("crossdock.items.v1", key="item_id", owner="inventory-service")):
    """Sent by inventory-service only. An order naming an item that was never registered is refused by HTTP routes.

    `unit_of_measure` is the base unit: all quantities of the item in events are whole base units.
    """

    item_id: Identifier
    unit_of_measure: Annotated[Code, OpenEnum("each", "kg", "g", "l", "ml", "m", "case", "pallet", "mm")]
    units: tuple[ItemUnit, ...] | None = None
    category: Identifier | None = None
    status: Annotated[Code, OpenEnum("active", "discontinued")]


class ItemRegistered(ItemEvent, type="crossdock.ItemRegistered.v1", carries="state", stability="draft"):
    """The item exists from now on."""


class ItemChanged(ItemEvent, type="crossdock.ItemChanged.v1", carries="state", stability="draft"):
    """The item as it now is. A discontinued one can no longer be ordered; what is reserved stays reserved."""
