"""Change items. A discontinued item can no longer be ordered, but its reserved stock stays reserved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crossdock_chassis import Unit
from crossdock_events import Cause
from inventory_service.items import store
from inventory_service.items.model import Item, NoSuchItem
from inventory_service.items.views import ItemView


@dataclass(frozen=True, slots=True)
class ChangeItem:
    """`traits` are the traits that change. `check` gets the item's version before any change and may raise."""

    item_id: str
    traits: Mapping[str, Any]
    check: Callable[[int], None]
    cause: Cause


async def change_item(unit: Unit, command: ChangeItem) -> ItemView:
    """Change one item. Raise NoSuchItem, or the exception of `check`."""
    item = (await store.lock(unit, [command.item_id])).get(command.item_id)
    if item is None:
        raise NoSuchItem(command.item_id)
    command.check(item.sequence)
    changed = await apply(unit, {item.item_id: item}, {item.item_id: command.traits}, command.cause)
    return ItemView.of(changed.get(item.item_id, item))


async def apply(
    unit: Unit, items: Mapping[str, Item], traits: Mapping[str, Mapping[str, Any]], cause: Cause
) -> dict[str, Item]:
    """Give locked items their new traits. Return the items that changed.

    If the status of an item changed, all items that its waiting orders want go to the release queue.
    """
    changed: dict[str, Item] = {}
    revalued: Sequence[str] = ()
    for item_id in sorted(traits):
        before = items[item_id]
        if (become := before.become(replace(before.traits, **traits[item_id]))) is not None:
            after, event = become
            changed[item_id] = after
            unit.publish(event, sequence=after.sequence, cause=cause)
            if after.traits.status != before.traits.status:
                revalued = [*revalued, item_id]
    if changed:
        await store.update(unit, list(changed.values()))
    if revalued:
        await store.queue_what_their_orders_want(unit, revalued)
    return changed
