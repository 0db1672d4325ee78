"""An item and its changes. Pure."""

from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from crossdock_events import IDENTIFIER
from crossdock_events.items import ItemChanged, ItemRegistered

Status: TypeAlias = Literal["active", "discontinued"]

ItemId: TypeAlias = Annotated[str, IDENTIFIER, Field(description=IDENTIFIER.rule, examples=["SKU-1"])]
UnitOfMeasure: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="a code such as each, kg or case", examples=["each"])
]
Category: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$", description="at most 64 characters on one line", examples=["GROCERY"]),
]
Description: TypeAlias = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,500}$", description="at most 500 characters on one line")
]

DEFAULT_UNIT: Final = "each"


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


@dataclass(frozen=True, slots=True)
class Traits:
    """The properties of an item that can change. The description is for people and stays in this service."""

    unit_of_measure: str = DEFAULT_UNIT
    category: str | None = None
    status: Status = "active"
    description: str | None = None


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
            category=traits.category,
            status=traits.status,
        )
        return changed, event
