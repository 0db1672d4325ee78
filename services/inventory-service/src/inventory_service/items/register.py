"""Register items."""

from collections.abc import Sequence
from dataclasses import dataclass

from crossdock_chassis import Unit
from crossdock_events import Cause
from inventory_service.conventions import Registered, first_difference
from inventory_service.items import store
from inventory_service.items.model import DuplicateItem, Item, Traits
from inventory_service.items.views import ItemView


@dataclass(frozen=True, slots=True)
class RegisterItem:
    item_id: str
    traits: Traits
    cause: Cause


async def register_items(unit: Unit, batch: Sequence[RegisterItem]) -> list[Registered[ItemView] | Exception]:
    """Register new items. Return an existing item that has the same traits, and DuplicateItem if it has others."""
    first = {command.item_id: command for command in reversed(batch)}
    new = await store.insert(unit, [Item(command.item_id, command.traits) for command in first.values()])
    for item_id in sorted(new):
        item = Item(item_id, first[item_id].traits)
        unit.publish(item.registered(), sequence=item.sequence, cause=first[item_id].cause)
    present = await store.read(unit, first)
    answers: list[Registered[ItemView] | Exception] = []
    for command in batch:
        item = present[command.item_id]
        if item.traits != command.traits:
            answers.append(DuplicateItem(command.item_id, first_difference(item.traits, command.traits)))
        else:
            created = command.item_id in new and first[command.item_id] is command
            answers.append(Registered(resource=ItemView.of(item), created=created))
    return answers
