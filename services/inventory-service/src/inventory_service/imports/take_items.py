"""Import items: register new items, and change existing items to the content of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossdock_chassis import Unit
from crossdock_events import Cause
from inventory_service.imports.model import Row
from inventory_service.imports.views import ImportResult
from inventory_service.items import change, store
from inventory_service.items.model import DEFAULT_UNIT, Item, Traits


@dataclass(frozen=True, slots=True)
class TakeItems:
    rows: Sequence[Row]
    cause: Cause


async def take_items(unit: Unit, command: TakeItems) -> ImportResult:
    """Register and change items. A missing column changes nothing; an empty cell removes the value."""
    traits = {row.cells["item_id"]: _traits(row) for row in command.rows}
    items = [Item(item_id, Traits(**given)) for item_id, given in sorted(traits.items())]
    new = await store.insert(unit, items)
    for item in items:
        if item.item_id in new:
            unit.publish(item.registered(), sequence=item.sequence, cause=command.cause)
    present = await store.lock(unit, traits.keys() - new)
    changed = await change.apply(unit, present, {item: traits[item] for item in present}, command.cause)
    return ImportResult(
        kind="items",
        dry_run=False,
        rows=len(traits),
        created=len(new),
        changed=len(changed),
        unchanged=len(traits) - len(new) - len(changed),
    )


def _traits(row: Row) -> dict[str, Any]:
    given = {name: value for name, value in row.cells.items() if name != "item_id"}
    for name, default in (("unit_of_measure", DEFAULT_UNIT), ("units", {}), ("status", "active")):
        if name in given and given[name] is None:
            given[name] = default
    return given
