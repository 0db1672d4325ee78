"""Locations over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from crossdock_chassis import (
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    IfMatch,
    Page,
    PageCursor,
    PageLimit,
    etag,
    json_response,
    limited,
    requires,
)
from inventory_service.locations import views
from inventory_service.locations.change import ChangeLocation
from inventory_service.locations.model import DEFAULT_RANK, Country, Location, LocationId, Name, Rank
from inventory_service.locations.register import RegisterLocation
from inventory_service.locations.views import LocationView, Registered

Reader = Annotated[Caller, requires("stock:read")]
Writer = Annotated[Caller, requires("stock:write")]
STOCK = [limited("stock")]


class LocationIn(BaseModel):
    """`rank`: the lower one is asked first when stock is sourced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    location_id: LocationId
    rank: Rank = DEFAULT_RANK
    name: Name
    country: Country | None = None


class LocationPatch(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rank: Rank = DEFAULT_RANK
    name: Name = ""
    country: Country | None = None

    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def routes(
    database: Database,
    register: Coalescer[RegisterLocation, Registered],
    change: Coalescer[ChangeLocation, LocationView],
) -> APIRouter:
    router = APIRouter(prefix="/v1/locations", tags=["locations"])

    @router.post(
        "",
        dependencies=STOCK,
        status_code=201,
        response_model=LocationView,
        summary="Register a location",
        responses={
            200: {"model": LocationView, "description": "It was registered just so before"},
            409: {"description": "`duplicate-location`: a location with this id is another one"},
        },
    )
    async def post_location(body: LocationIn, caller: Writer, key: IdempotencyKey) -> Response:
        wanted = Location(body.location_id, body.rank, body.name, body.country)
        done = await register(RegisterLocation(wanted), key.of(body))
        location = done.result.location
        return json_response(
            location,
            201 if done.result.created else 200,
            replayed=done.replayed,
            location=f"/v1/locations/{location.location_id}",
            etag=etag(location.version),
        )

    @router.get("", summary="List locations in sourcing order")
    async def get_locations(caller: Reader, cursor: PageCursor = None, limit: PageLimit = 100) -> Page[LocationView]:
        after = views.LOCATIONS.decode(cursor)
        async with database.reading() as session:
            return await views.page(session, after, limit)

    @router.get("/{location_id}", response_model=LocationView, summary="Show a location", responses=_MISSING)
    async def get_location(location_id: str, caller: Reader) -> Response:
        async with database.reading() as session:
            location = await views.get(session, location_id)
        return json_response(location, etag=etag(location.version))

    @router.patch(
        "/{location_id}",
        dependencies=STOCK,
        response_model=LocationView,
        summary="Change a location",
        description="With `If-Match` only the version it names is changed.",
        responses={**_MISSING, 412: {"description": "`precondition-failed`: it has changed since"}},
    )
    async def patch_location(location_id: str, body: LocationPatch, caller: Writer, match: IfMatch) -> Response:
        done = await change(ChangeLocation(location_id, body.changes(), match.check))
        return json_response(done.result, etag=etag(done.result.version))

    return router


_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "`no-such-location`"}}
