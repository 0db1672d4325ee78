"""Levels and their changes. Pure: each change is a movement, and the level follows from the movements."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple, TypeAlias
from uuid import UUID

from pydantic import Field

from crossdock_events import IDENTIFIER, Cause
from crossdock_events.stock import StockLevelChanged

Kind: TypeAlias = Literal["receipt", "adjustment", "transfer", "opening", "reservation", "release", "withdrawal"]
MAX_UNITS = 1_000_000_000_000
"""A larger quantity of one item at one location is a mistake of the sender. The limit is far below a bigint's."""

MAX_WITHDRAWN = 1_000
MAX_LOCATIONS = 1_000
"""The locations that hold one item, because its event names all of them. With 13,800 it would outgrow a message."""

Place: TypeAlias = tuple[str, str]
"""An item and a location."""
Reference: TypeAlias = Annotated[str, IDENTIFIER, Field(description=IDENTIFIER.rule, examples=["GRN-1"])]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
"""The id of an item or a location for a lookup. It may have any form."""
UNIT = r"[a-z][a-z0-9_]{0,31}"
UnitName: TypeAlias = Annotated[
    str, Field(pattern=f"^{UNIT}$", description="a code such as kg or case", examples=["kg"])
]
OpeningQuantity: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000_000)]
Reason: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        examples=["count"],
        description="A code: count, damage, loss, found, correction, or a code of your own",
    ),
]


class StockError(Exception):
    """A rule of the stock was broken.

    - UnknownItem
    - WrongQuantities
    - UnknownLocation
    - NotEnoughFree
    - NotOnHand
    - TooManyWithdrawn
    - TooManyLocations
    - TooMuch
    - DuplicateReference
    """

    def __init__(self, message: str, errors: Iterable[Mapping[str, str]] = (), **extra: object) -> None:
        super().__init__(message)
        self.errors = list(errors)
        self.extra = extra


class UnknownItem(StockError):
    pass


class WrongQuantities(StockError):
    """Lines name a unit that their item does not have, or no whole number of base units."""


class UnknownLocation(StockError):
    pass


class NotEnoughFree(StockError):
    """Stock that is reserved for orders cannot be moved. `extra["short"]` has the free quantities."""


class NotOnHand(StockError):
    """More is written off than is recorded. `extra["short"]` has the quantities on hand."""


class TooManyWithdrawn(StockError):
    """An adjustment would withdraw the reservations of more than `MAX_WITHDRAWN` orders in one transaction."""


class TooManyLocations(StockError):
    """One more location would hold an item than the event of its stock can name."""


class TooMuch(StockError):
    pass


class DuplicateReference(StockError):
    """The reference names another document, at `location`, with another value at `place`."""

    def __init__(self, message: str, location: str, place: str) -> None:
        different = {"pointer": place, "detail": "the document has another value here", "code": "differs"}
        super().__init__(message, [different], document=location)
        self.location = location


class NoSuchDocument(StockError):
    pass


class Movement(NamedTuple):
    """One line of the ledger: the change of both numbers of a level, its kind, reason and cause.

    `partner` is there if the movement belongs to a document.
    """

    item_id: str
    location_id: str
    on_hand: int
    reserved: int
    kind: Kind
    reference: str
    line_id: str | None
    reason: str | None
    cause: UUID
    partner: str | None = None


class Head(NamedTuple):
    """The state of an item: `version` changes with every change, and `sequence` counts the item's events.

    `causes` are the kinds of the changes after the last event. An item with any is in the set of changed items.
    """

    version: int
    sequence: int
    causes: Collection[str] = ()


@dataclass(slots=True)
class _Change:
    kinds: set[str]
    cause: Cause
    free_before: dict[str, int] = field(default_factory=dict)  # by location, if the unit has changed its level
    raised: int = 0  # the growth of the free stock, over all locations


class Changed(NamedTuple):
    """The change of an item's head. `at_once` is true if the unit publishes its event."""

    item_id: str
    at_once: bool
    kinds: Collection[str]
    cause: Cause


class Fact(NamedTuple):
    event: StockLevelChanged
    sequence: int
    cause: Cause


@dataclass(slots=True)
class Stock:
    """The levels of items whose heads the unit has locked, and the unit's movements of them.

    `levels` is item → location → [on hand, reserved].
    """

    heads: dict[str, Head]
    levels: dict[str, dict[str, list[int]]]
    movements: list[Movement] = field(default_factory=list)
    changes: dict[str, _Change] = field(default_factory=dict)

    def free(self) -> dict[str, dict[str, int]]:
        """Return the unreserved units by item and location, without locations that have none."""
        return {
            item: {location: level[0] - level[1] for location, level in places.items() if level[0] > level[1]}
            for item, places in self.levels.items()
        }

    def move(self, movement: Movement, cause: Cause) -> None:
        """Apply a movement to its level.

        The item's event gets `cause`. If a unit changes an item several times, the first cause counts.
        """
        self._change(movement.item_id, movement.location_id, movement.on_hand, movement.reserved, movement.kind, cause)
        self.movements.append(movement)

    def promise(self, item: str, location: str, quantity: int, cause: Cause) -> None:
        """Reserve free units for an order. The statement that writes its allocations also writes the ledger line."""
        self._change(item, location, 0, quantity, "reservation", cause)

    def _change(self, item: str, location: str, on_hand: int, reserved: int, kind: Kind, cause: Cause) -> None:
        level = self.levels.setdefault(item, {}).setdefault(location, [0, 0])
        change = self.changes.get(item)
        if change is None:
            change = self.changes[item] = _Change(set(), cause)
        change.kinds.add(kind)
        change.free_before.setdefault(location, level[0] - level[1])
        change.raised += on_hand - reserved
        level[0] += on_hand
        level[1] += reserved

    def missing(self) -> dict[Place, int]:
        """Return the reserved units that the movements have taken, by place."""
        return {
            (item, location): reserved - on_hand
            for item, location in self._touched()
            for on_hand, reserved in (self.levels[item][location],)
            if on_hand < reserved
        }

    def check_on_hand(self) -> None:
        """Raise NotOnHand, with every place that is short, if the movements take more than is on hand."""
        short = [
            {"item_id": item, "location_id": location, "requested": -change, "on_hand": on_hand - change}
            for (item, location), change in self._touched().items()
            if (on_hand := self.levels[item][location][0]) < 0
        ]
        if short:
            first = short[0]
            raise NotOnHand(
                f"The request takes {first['requested']} of {first['item_id']} from {first['location_id']}, which has "
                f"{first['on_hand']} on hand",
                short=short,
            )

    def crowded(self) -> list[str]:
        """Return the items that the movements have brought to further locations, beyond `MAX_LOCATIONS`."""
        entered = {
            item for (item, location), change in self._touched().items() if self.levels[item][location][0] == change > 0
        }
        return sorted(
            item for item in entered if sum(level[0] > 0 for level in self.levels[item].values()) > MAX_LOCATIONS
        )

    def _touched(self) -> dict[Place, int]:
        """Return the change of the quantity on hand at each place with a movement."""
        touched: dict[Place, int] = {}
        for each in self.movements:
            place = each.item_id, each.location_id
            touched[place] = touched.get(place, 0) + each.on_hand
        return touched

    def check(self) -> None:
        """Raise NotEnoughFree, with every place that is short, TooMuch or TooManyLocations for impossible movements."""
        touched = self._touched()
        short = [
            {
                "item_id": item,
                "location_id": location,
                "requested": -touched[item, location],
                "free": on_hand - reserved - touched[item, location],
            }
            for item, location in touched
            for on_hand, reserved in (self.levels[item][location],)
            if on_hand < reserved
        ]
        if short:
            first = short[0]
            raise NotEnoughFree(
                f"The request takes {first['requested']} of {first['item_id']} from {first['location_id']}, which has "
                f"{first['free']} unreserved",
                short=short,
            )
        for item, location in touched:
            if self.levels[item][location][0] > MAX_UNITS:
                raise TooMuch(f"{location} would hold more than {MAX_UNITS} of {item}")

        for item in self.crowded():
            raise TooManyLocations(
                f"More than {MAX_LOCATIONS:,} locations would hold {item}: empty one of its locations first"
            )

    def emptied(self) -> list[Place]:
        """Forget the levels that the movements have left empty, and return their places."""
        places = [place for place in self._touched() if not self.levels[place[0]][place[1]][0]]
        for item, location in places:
            del self.levels[item][location]
        return places

    def raised(self) -> list[str]:
        """Return the items with more free stock or with stock at another location, because orders may wait for them."""
        return sorted(
            item
            for item, change in self.changes.items()
            if change.raised > 0 or (change.raised == 0 and "transfer" in change.kinds)
        )

    def changed(self) -> list[Changed]:
        """Return the change of each item's head, in item order."""
        return [
            Changed(item, self._at_once(item, change), change.kinds, change.cause)
            for item, change in sorted(self.changes.items())
        ]

    def _at_once(self, item: str, change: _Change) -> bool:
        """Return whether a location has run out of free units of the item, or has some again.

        If the item as a whole runs out or recovers, so does one of its locations.
        """
        levels = self.levels[item]
        for location, before in change.free_before.items():
            level = levels.get(location, (0, 0))
            if (before > 0) != (level[0] > level[1]):
                return True
        return False

    def facts(self) -> Iterator[Fact]:
        """Yield the events that are published at once, in item order."""
        for item, at_once, kinds, cause in self.changed():
            if at_once:
                yield self._fact(item, kinds, cause)

    def settled(self, causes: Mapping[str, Cause]) -> Iterator[Fact]:
        """Yield the events of all items. `causes` are their first causes."""
        for item, cause in causes.items():
            yield self._fact(item, (), cause)

    def _fact(self, item: str, kinds: Iterable[str], cause: Cause) -> Fact:
        head, places = self.heads[item], self.levels[item]
        # one call for the whole event, because a constructor call per level costs more
        event = StockLevelChanged.model_validate(
            {
                "item_id": item,
                "levels": [
                    {"location_id": location, "on_hand": places[location][0], "reserved": places[location][1]}
                    for location in sorted(places)
                ],
                "available": sum([level[0] - level[1] for level in places.values()]),
                "causes": sorted({*head.causes, *kinds}),
            }
        )
        return Fact(event, head.sequence + 1, cause)
