"""Levels and what changes them. Pure: a change is a movement first, and the level is what follows from it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, TypeAlias
from uuid import UUID

from pydantic import Field

from crossdock_events import Cause
from crossdock_events.stock import StockLevelChanged

Kind: TypeAlias = Literal["receipt", "adjustment", "transfer", "opening", "reservation", "release"]
MAX_UNITS = 1_000_000_000_000
"""More than this of one item at one location is a mistake of the sender; far below what a bigint holds."""

Reference: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._:/-]{1,64}$", description="1 to 64 letters, digits or ._:/-", examples=["GRN-1"]),
]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
"""The id of an item or a location, looked up rather than made: it may have any form."""
Quantity: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000_000)]
OpeningQuantity: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000_000)]
Reason: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        examples=["count"],
        description="A code; known ones are count, damage, loss, found and correction, others are yours to choose",
    ),
]


class StockError(Exception):
    """A rule of the stock was broken.

    - UnknownItem
    - UnknownLocation
    - NotEnoughFree
    - TooMuch
    - DuplicateReference
    """

    def __init__(self, message: str, errors: Iterable[Mapping[str, str]] = (), **extra: object) -> None:
        super().__init__(message)
        self.errors = list(errors)
        self.extra = extra


class UnknownItem(StockError):
    pass


class UnknownLocation(StockError):
    pass


class NotEnoughFree(StockError):
    """Stock that is promised to orders cannot be taken away; `extra["short"]` says how much is free."""


class TooMuch(StockError):
    pass


class DuplicateReference(StockError):
    """The reference names another document, at `location`."""

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message, document=location)
        self.location = location


class NoSuchDocument(StockError):
    pass


class Movement(NamedTuple):
    """One line of the ledger: by how much both numbers of a level changed, why, and because of which event."""

    item_id: str
    location_id: str
    on_hand: int
    reserved: int
    kind: Kind
    reference: str
    line_id: str | None
    reason: str | None
    cause: UUID


@dataclass(slots=True)
class _Change:
    kinds: set[str]
    cause: Cause
    raised: int = 0  # by how much more of it is free, over all locations


@dataclass(slots=True)
class Stock:
    """The levels of items whose heads the unit has locked, and the movements it makes to them.

    `levels` is item → location → [on hand, reserved]; `sequences` the last sequence of each item's events.
    """

    sequences: dict[str, int]
    levels: dict[str, dict[str, list[int]]]
    movements: list[Movement] = field(default_factory=list)
    changes: dict[str, _Change] = field(default_factory=dict)

    def free(self) -> dict[str, dict[str, int]]:
        """What nobody has been promised, where there is any."""
        return {
            item: {location: level[0] - level[1] for location, level in places.items() if level[0] > level[1]}
            for item, places in self.levels.items()
        }

    def move(self, movement: Movement, cause: Cause) -> None:
        """`cause` is the event's; the first one of a unit speaks for an item that changes several times in it."""
        item = movement.item_id
        level = self.levels.setdefault(item, {}).setdefault(movement.location_id, [0, 0])
        level[0] += movement.on_hand
        level[1] += movement.reserved
        self.movements.append(movement)
        self._changed(item, movement.kind, movement.on_hand - movement.reserved, cause)

    def promise(self, item: str, location: str, quantity: int, cause: Cause) -> None:
        """A movement from free to reserved whose line in the ledger is derived from what the order holds."""
        self.levels[item][location][1] += quantity
        self._changed(item, "reservation", -quantity, cause)

    def _changed(self, item: str, kind: Kind, raised: int, cause: Cause) -> None:
        change = self.changes.get(item)
        if change is None:
            change = self.changes[item] = _Change(set(), cause)
        change.kinds.add(kind)
        change.raised += raised

    def check(self) -> None:
        """Raises NotEnoughFree or TooMuch for what the movements made impossible, all places at once."""
        touched: dict[tuple[str, str], int] = {}
        for each in self.movements:
            place = each.item_id, each.location_id
            touched[place] = touched.get(place, 0) + each.on_hand
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
                f"{first['requested']} of {first['item_id']} were to leave {first['location_id']}, "
                f"{first['free']} are free there",
                short=short,
            )
        for item, location in touched:
            if self.levels[item][location][0] > MAX_UNITS:
                raise TooMuch(f"There would be more than {MAX_UNITS} of {item} at {location}")

    def raised(self) -> list[str]:
        """Items of which more is free than before, or as much in another place: someone may have waited for it."""
        return sorted(
            item
            for item, change in self.changes.items()
            if change.raised > 0 or (change.raised == 0 and "transfer" in change.kinds)
        )

    def facts(self) -> Iterator[tuple[StockLevelChanged, int, Cause]]:
        """One event an item with all its levels, its sequence and cause; in item order."""
        for item in sorted(self.changes):
            places = self.levels[item]
            change = self.changes[item]
            # one call for the whole event: a constructor a level costs more
            event = StockLevelChanged.model_validate(
                {
                    "item_id": item,
                    "levels": [
                        {"location_id": location, "on_hand": places[location][0], "reserved": places[location][1]}
                        for location in sorted(places)
                    ],
                    "available": sum([level[0] - level[1] for level in places.values()]),
                    "causes": sorted(change.kinds),
                }
            )
            yield event, self.sequences[item] + 1, change.cause
