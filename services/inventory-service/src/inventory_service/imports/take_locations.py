"""Import locations: register new locations, and change existing locations to the content of the file."""

from typing import Any

from crossdock_chassis import Chunk, Counts, Row, Unit
from inventory_service.locations import change, store
from inventory_service.locations.model import DEFAULT_RANK, Location


async def take_locations(unit: Unit, chunk: Chunk) -> Counts:
    """Register and change locations. A missing column changes nothing."""
    traits = {row.cells["location_id"]: _traits(row) for row in chunk.rows}
    new = await store.insert(unit, [Location(id, **(_DEFAULTS | given)) for id, given in sorted(traits.items())])
    present = await store.lock(unit, traits.keys() - new)
    changed = await change.apply(unit, present, {id: traits[id] for id in present})
    return Counts(len(new), len(changed), len(traits) - len(new) - len(changed))


_DEFAULTS: dict[str, Any] = {"rank": DEFAULT_RANK, "country": None}


def _traits(row: Row) -> dict[str, Any]:
    given = {name: value for name, value in row.cells.items() if name != "location_id"}
    if "rank" in given and given["rank"] is None:
        given["rank"] = DEFAULT_RANK
    return given
