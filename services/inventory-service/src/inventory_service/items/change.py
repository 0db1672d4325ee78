"""Items change. One that is discontinued can no longer be ordered; what is reserved of it stays reserved."""

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
    """`traits` are those that change. `check` is asked with the item's version before anything happens."""

    item_id: str
    traits: Mapping[str, Any]
    check: Callable[[int], None]
    cause: Cause


async def change_item(unit: Unit, command: ChangeItem) -> ItemView:
    """Raises NoSuchItem, and what `check` raises."""
    item = (await store.lock(unit, [command.item_id])).get(command.item_id)
    if item is None:
        raise NoSuchItem(command.item_id)
    command.check(item.sequence)
    changed = await apply(unit, {item.item_id: item}, {item.item_id: command.traits}, command.cause)
    return ItemView.of(changed.get(item.item_id, item))


async def apply(
    unit: Unit, items: Mapping[str, Item], traits: Mapping[str, Mapping[str, Any]], cause: Cause
) -> dict[str, Item]:
    """Those of the locked items which this changes, as they are now."""
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
