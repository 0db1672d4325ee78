"""A place for stock. Rare, so one at a time."""

from dataclasses import dataclass, replace

from crossdock_chassis import Unit
from inventory_service.conventions import Registered
from inventory_service.locations import store
from inventory_service.locations.model import DuplicateLocation, Location
from inventory_service.locations.views import LocationView


@dataclass(frozen=True, slots=True)
class RegisterLocation:
    location: Location


async def register_location(unit: Unit, command: RegisterLocation) -> Registered[LocationView]:
    """Return an existing location with the same content as it is. Raise DuplicateLocation for other content."""
    wanted = command.location
    if await store.insert(unit, [wanted]):
        return Registered(resource=LocationView.of(wanted), created=True)
    present = (await store.lock(unit, [wanted.location_id]))[wanted.location_id]
    if replace(present, version=wanted.version) != wanted:
        raise DuplicateLocation(wanted.location_id)
    return Registered(resource=LocationView.of(present), created=False)
