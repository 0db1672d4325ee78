"""Register locations, one at a time because new locations are rare."""

from dataclasses import dataclass, replace

from crossdock_chassis import Unit
from inventory_service.conventions import Registered, first_difference
from inventory_service.locations import store
from inventory_service.locations.model import DuplicateLocation, Location
from inventory_service.locations.views import LocationView


@dataclass(frozen=True, slots=True)
class RegisterLocation:
    location: Location


async def register_location(unit: Unit, command: RegisterLocation) -> Registered[LocationView]:
    """Register a location, or return it if it exists. Raise DuplicateLocation if its content differs."""
    wanted = command.location
    if await store.insert(unit, [wanted]):
        return Registered(resource=LocationView.of(wanted), created=True)
    present = (await store.lock(unit, [wanted.location_id]))[wanted.location_id]
    if (same := replace(present, version=wanted.version)) != wanted:
        raise DuplicateLocation(wanted.location_id, first_difference(same, wanted))
    return Registered(resource=LocationView.of(present), created=False)
