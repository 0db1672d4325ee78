"""An item and its changes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from crossdock_events import IDENTIFIER
from crossdock_events.items import ItemChanged, ItemRegistered, ItemUnit

Status: TypeAlias = Literal["active", "discontinued"]

ItemId: TypeAlias = Annotated[str, IDENTIFIER, Field(description=IDENTIFIER.rule, examples=["SKU-1"])]
UnitOfMeasure: TypeAlias = Literal["each", "g", "ml", "mm"]
"""The base unit of an item. All its quantities are whole numbers of it."""
MAX_FACTOR: Final = 1_000_000
MAX_UNITS: Final = 20
Category: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$", description="at most 64 characters on one line", examples=["GROCERY"]),
]
Description: TypeAlias = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,500}$", description="at most 500 characters on one line")
]

DEFAULT_UNIT: Final[UnitOfMeasure] = "each"


class ItemError(Exception):
    """A rule of the item was broken.

    - NoSuchItem
    - DuplicateItem
    """

    def __init__(self, item_id: str, message: str) -> None:
        super().__init__(message)
        self.item_id = item_id


class NoSuchItem(ItemError):
    def __init__(self, item_id: str) -> None:
        super().__init__(item_id, f"No item has the id {item_id}")


class DuplicateItem(ItemError):
    def __init__(self, item_id: str, member: str) -> None:
        super().__init__(item_id, f"The item {item_id} exists and has another {member}")
        self.errors = ({"pointer": f"/{member}", "detail": "the item has another value here", "code": "differs"},)


class BaseUnitNamed(Exception):
    def __init__(self, unit: str) -> None:
        detail = f"{unit} is the base unit, whose factor is 1; leave it out"
        super().__init__(detail)
        self.errors = [{"pointer": f"/units/{unit}", "detail": detail, "code": "base_unit"}]


@dataclass(frozen=True, slots=True)
class Traits:
    """The properties of an item that can change. The description is for people and stays in this service.

    `units` has the factor of each unit other than the base unit: for an item in g, `{"kg": 1000}`.
    """

    unit_of_measure: str = DEFAULT_UNIT
    category: str | None = None
    status: Status = "active"
    description: str | None = None
    units: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.unit_of_measure in self.units:
            raise BaseUnitNamed(self.unit_of_measure)

    def declared(self) -> tuple[ItemUnit, ...] | None:
        """Return the units for an event."""
        return tuple(ItemUnit(unit=unit, factor=factor) for unit, factor in sorted(self.units.items())) or None


@dataclass(frozen=True, slots=True)
class Item:
    """`sequence` counts its events."""

    item_id: str
    traits: Traits
    sequence: int = 1

    def registered(self) -> ItemRegistered:
        return ItemRegistered(
            item_id=self.item_id,
            unit_of_measure=self.traits.unit_of_measure,
            units=self.traits.declared(),
            category=self.traits.category,
            status=self.traits.status,
        )

    def become(self, traits: Traits) -> tuple["Item", ItemChanged] | None:
        """Return the item with other traits and the event of the change. Return None if the item already has them."""
        if traits == self.traits:
            return None
        changed = replace(self, traits=traits, sequence=self.sequence + 1)
        event = ItemChanged(
            item_id=self.item_id,
            unit_of_measure=traits.unit_of_measure,
            units=traits.declared(),
            category=traits.category,
            status=traits.status,
        )
        return changed, event
