"""Views of locations."""

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Cursor, Page, etag, segment
from inventory_service.conventions import Resource
from inventory_service.locations.model import Location, NoSuchLocation, Rank
from inventory_service.tables import LocationRow

LOCATIONS: Cursor[tuple[int, str]] = Cursor("locations", tuple[Rank, str])


class LocationView(Resource):
    location_id: str
    rank: int
    name: str
    country: str | None
    version: int

    @property
    def path(self) -> str:
        return f"/v1/locations/{segment(self.location_id)}"

    @property
    def etag(self) -> str:
        return etag(self.version)

    @classmethod
    def of(cls, location: Location | LocationRow) -> "LocationView":
        return cls(
            location_id=location.location_id,
            rank=location.rank,
            name=location.name,
            country=location.country,
            version=location.version,
        )


async def get(session: AsyncSession, location_id: str) -> LocationView:
    """Return a location. Raise NoSuchLocation."""
    row = await session.get(LocationRow, location_id)
    if row is None:
        raise NoSuchLocation(location_id)
    return LocationView.of(row)


async def page(session: AsyncSession, after: tuple[int, str] | None, limit: int) -> Page[LocationView]:
    """Return a page of locations in sourcing order."""
    query = select(LocationRow).order_by(LocationRow.rank, LocationRow.location_id).limit(limit + 1)
    if after is not None:
        query = query.where(tuple_(LocationRow.rank, LocationRow.location_id) > after)
    rows = (await session.scalars(query)).all()
    more = LOCATIONS.encode((rows[limit - 1].rank, rows[limit - 1].location_id)) if len(rows) > limit else None
    return Page(items=[LocationView.of(row) for row in rows[:limit]], next=more)
