"""Import locations: register new locations, and change existing locations to the content of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crossdock_chassis import Unit
from inventory_service.imports.model import Row
from inventory_service.imports.views import ImportResult
from inventory_service.locations import change, store
from inventory_service.locations.model import DEFAULT_RANK, Location


@dataclass(frozen=True, slots=True)
class TakeLocations:
    rows: Sequence[Row]


async def take_locations(unit: Unit, command: TakeLocations) -> ImportResult:
    """Register and change locations. A missing column changes nothing."""
    traits = {row.cells["location_id"]: _traits(row) for row in command.rows}
    new = await store.insert(unit, [Location(id, **(_DEFAULTS | given)) for id, given in sorted(traits.items())])
    present = await store.lock(unit, traits.keys() - new)
    changed = await change.apply(unit, present, {id: traits[id] for id in present})
    return ImportResult(
        kind="locations",
        dry_run=False,
        rows=len(traits),
        created=len(new),
        changed=len(changed),
        unchanged=len(traits) - len(new) - len(changed),
    )


_DEFAULTS: dict[str, Any] = {"rank": DEFAULT_RANK, "country": None}


def _traits(row: Row) -> dict[str, Any]:
    given = {name: value for name, value in row.cells.items() if name != "location_id"}
    if "rank" in given and given["rank"] is None:
        given["rank"] = DEFAULT_RANK
    return given
