"""Locations over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Response

from crossdock_chassis import (
    Coalescer,
    Database,
    IdempotencyKey,
    IfMatch,
    Number,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    errors,
    provided,
    segment,
)
from inventory_service.conventions import (
    REGISTERED_BEFORE,
    STOCK,
    Body,
    Patch,
    Reader,
    Registered,
    Writer,
    registered,
    shown,
)
from inventory_service.locations import views
from inventory_service.locations.change import ChangeLocation
from inventory_service.locations.model import (
    DEFAULT_RANK,
    Country,
    DuplicateLocation,
    Location,
    LocationId,
    Name,
    NoSuchLocation,
)
from inventory_service.locations.register import RegisterLocation
from inventory_service.locations.views import LocationView

NO_SUCH_LOCATION: Final = Problem(404, "no-such-location", "No location has this id")
DUPLICATE_LOCATION: Final = Problem(
    409,
    "duplicate-location",
    "A location with this id exists and has other content",
    headers={"Location": lambda error: f"/v1/locations/{segment(error.location_id)}"},
)

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchLocation: NO_SUCH_LOCATION,
    DuplicateLocation: DUPLICATE_LOCATION,
}


@dataclass(frozen=True, slots=True)
class Locations:
    """The dependencies of the routes."""

    database: Database
    register: Coalescer[RegisterLocation, Registered[LocationView]]
    change: Coalescer[ChangeLocation, LocationView]


LocationsDep = Annotated[Locations, provided(Locations)]
WholeRank = Annotated[int, Number(0, 1_000_000)]
router = APIRouter(prefix="/v1/locations", tags=["locations"])


class LocationIn(Body):
    """Stock is sourced from the location with the lowest `rank` first."""

    location_id: LocationId
    rank: WholeRank = DEFAULT_RANK
    name: Name
    country: Country | None = None


class LocationPatch(Patch):
    """A member that is left out changes nothing."""

    rank: WholeRank = DEFAULT_RANK
    name: Name = ""
    country: Country | None = None


@router.post(
    "",
    dependencies=STOCK,
    status_code=201,
    response_model=LocationView,
    summary="Register a location",
    responses={200: {"model": LocationView, "description": REGISTERED_BEFORE}, **errors(DUPLICATE_LOCATION)},
)
async def post_location(body: LocationIn, caller: Writer, key: IdempotencyKey, locations: LocationsDep) -> Response:
    wanted = Location(body.location_id, body.rank, body.name, body.country)
    return registered(await locations.register(RegisterLocation(wanted), key.of(body)))


@router.get("", summary="List locations in sourcing order")
async def get_locations(
    caller: Reader, locations: LocationsDep, cursor: PageCursor = None, limit: PageLimit = 100
) -> Page[LocationView]:
    after = views.LOCATIONS.decode(cursor)
    async with locations.database.reading() as session:
        return await views.page(session, after, limit)


@router.get(
    "/{location_id}", response_model=LocationView, summary="Show a location", responses=errors(NO_SUCH_LOCATION)
)
async def get_location(location_id: str, caller: Reader, locations: LocationsDep) -> Response:
    async with locations.database.reading() as session:
        return shown(await views.get(session, location_id))


@router.patch(
    "/{location_id}",
    dependencies=STOCK,
    response_model=LocationView,
    summary="Change a location",
    responses=errors(NO_SUCH_LOCATION),
)
async def patch_location(
    location_id: str, body: LocationPatch, caller: Writer, match: IfMatch, locations: LocationsDep
) -> Response:
    return shown((await locations.change(ChangeLocation(location_id, body.changes(), match.check))).result)
