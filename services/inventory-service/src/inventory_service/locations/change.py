"""Change rank, name or country of a location. Its stock stays there, and is sourced in the new order from then on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crossdock_chassis import Unit
from inventory_service.locations import store
from inventory_service.locations.model import Location, NoSuchLocation
from inventory_service.locations.views import LocationView


@dataclass(frozen=True, slots=True)
class ChangeLocation:
    """`traits` are the traits that change. `check` gets the version before any change and may raise."""

    location_id: str
    traits: Mapping[str, Any]
    check: Callable[[int], None]


async def change_location(unit: Unit, command: ChangeLocation) -> LocationView:
    """Change one location. Raise NoSuchLocation, or the exception of `check`."""
    location = (await store.lock(unit, [command.location_id])).get(command.location_id)
    if location is None:
        raise NoSuchLocation(command.location_id)
    command.check(location.version)
    changed = await apply(unit, {location.location_id: location}, {location.location_id: command.traits})
    return LocationView.of(changed.get(location.location_id, location))


async def apply(
    unit: Unit, locations: Mapping[str, Location], traits: Mapping[str, Mapping[str, Any]]
) -> dict[str, Location]:
    """Give locked locations their new traits. Return the locations that changed."""
    changed = {}
    for location_id in sorted(traits):
        before = locations[location_id]
        if (after := replace(before, **traits[location_id])) != before:
            changed[location_id] = replace(after, version=before.version + 1)
    if changed:
        await store.update(unit, list(changed.values()))
    return changed
