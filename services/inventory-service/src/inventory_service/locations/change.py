"""A location gets another rank, name or country. What lies there stays, and is sourced in the new order from now on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crossdock_chassis import Unit
from inventory_service.locations import store
from inventory_service.locations.model import Location, NoSuchLocation
from inventory_service.locations.views import LocationView


@dataclass(frozen=True, slots=True)
class ChangeLocation:
    """`traits` are those that change. `check` is asked with the version before anything happens."""

    location_id: str
    traits: Mapping[str, Any]
    check: Callable[[int], None]


async def change_location(unit: Unit, command: ChangeLocation) -> LocationView:
    """Raises NoSuchLocation, and what `check` raises."""
    location = (await store.lock(unit, [command.location_id])).get(command.location_id)
    if location is None:
        raise NoSuchLocation(command.location_id)
    command.check(location.version)
    changed = await apply(unit, {location.location_id: location}, {location.location_id: command.traits})
    return LocationView.of(changed.get(location.location_id, location))


async def apply(
    unit: Unit, locations: Mapping[str, Location], traits: Mapping[str, Mapping[str, Any]]
) -> dict[str, Location]:
    """Those of the locked locations which this changes, as they are now."""
    changed = {}
    for location_id in sorted(traits):
        before = locations[location_id]
        if (after := replace(before, **traits[location_id])) != before:
            changed[location_id] = replace(after, version=before.version + 1)
    if changed:
        await store.update(unit, list(changed.values()))
    return changed
