"""Import items: register new items, and change existing items to the content of the file."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crossdock_chassis import Chunk, Counts, Row, RowError, RowsRefused, Unit
from inventory_service.items import change, store
from inventory_service.items.model import DEFAULT_UNIT, BaseUnitNamed, Item, Traits


async def take_items(unit: Unit, chunk: Chunk) -> Counts:
    """Register and change items. A missing column changes nothing; an empty cell removes the value.

    Raise RowsRefused for rows whose units name the item's base unit.
    """
    numbers = {row.cells["item_id"]: row.number for row in chunk.rows}
    traits = {row.cells["item_id"]: _traits(row) for row in chunk.rows}
    made = _each(numbers, lambda item_id: Traits(**traits[item_id]))
    items = [Item(item_id, made[item_id]) for item_id in sorted(made)]
    new = await store.insert(unit, items)
    for item in items:
        if item.item_id in new:
            unit.publish(item.registered(), sequence=item.sequence, cause=chunk.cause)
    present = await store.lock(unit, traits.keys() - new)
    old = {item_id: numbers[item_id] for item_id in present}
    _each(old, lambda item_id: replace(present[item_id].traits, **traits[item_id]))
    changed = await change.apply(unit, present, {item: traits[item] for item in present}, chunk.cause)
    return Counts(len(new), len(changed), len(traits) - len(new) - len(changed))


def _each(numbers: Mapping[str, int], make: Callable[[str], Traits]) -> dict[str, Traits]:
    """Make the traits of each item. Raise RowsRefused with the row of each item that cannot have them."""
    made, errors = dict[str, Traits](), list[RowError]()
    for item_id, number in numbers.items():
        try:
            made[item_id] = make(item_id)
        except BaseUnitNamed as error:
            errors.append(RowError(number, "units", str(error)))
    if errors:
        raise RowsRefused(errors)
    return made


def _traits(row: Row) -> dict[str, Any]:
    given = {name: value for name, value in row.cells.items() if name != "item_id"}
    for name, default in (("unit_of_measure", DEFAULT_UNIT), ("units", {}), ("status", "active")):
        if name in given and given[name] is None:
            given[name] = default
    return given
