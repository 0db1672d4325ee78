"""Events about the stock of an item at all locations."""

from typing import Annotated

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic, Value
from crossdock_events.orders import Quantity


class Level(Value):
    """`on_hand` lies at the location; `reserved` of it is promised. Available = on_hand - reserved."""

    location_id: Identifier
    on_hand: Quantity
    reserved: Quantity


class StockEvent(Event, topic=Topic("crossdock.stock.v1", key="item_id", owner="inventory-service")):
    """Sent by inventory-service only."""

    item_id: Identifier


class StockLevelChanged(StockEvent, type="crossdock.StockLevelChanged.v1", carries="state"):
    """The item's levels at all locations that hold it, and the causes of all changes since the event before.

    The latest sequence overwrites earlier ones. If an item runs out of free units, in all or at one location, its event
    is published at once. So is the event of a recovery. Other changes are published up to 250 ms later, in one event.
    At most 1,000 locations hold one item.
    """

    levels: tuple[Level, ...]
    available: Quantity
    causes: tuple[
        Annotated[
            Code, OpenEnum("receipt", "adjustment", "transfer", "opening", "reservation", "release", "withdrawal")
        ],
        ...,
    ]
