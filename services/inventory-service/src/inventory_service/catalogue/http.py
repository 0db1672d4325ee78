"""The catalogue over HTTP. Partners may have its scopes, because it shows nothing of other partners."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query

from crossdock_chassis import Caller, Database, Page, PageCursor, PageLimit, provided, requires
from inventory_service.catalogue import views
from inventory_service.catalogue.views import Entry, Quantities
from inventory_service.items.model import Category
from inventory_service.stock.model import Id

MAX_IDS: Final = 200


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The dependency of the routes."""

    database: Database


CatalogueDep = Annotated[Catalogue, provided(Catalogue)]
Reader = Annotated[Caller, requires("catalogue:read")]
QuantityReader = Annotated[Caller, requires("catalogue:quantities")]
Ids = Annotated[
    list[Id] | None,
    Query(min_length=1, max_length=MAX_IDS, description="Only these items; repeat it for several"),
]
OfCategory = Annotated[Category | None, Query(description="Only items of this category")]
router = APIRouter(prefix="/v1/catalogue", tags=["catalogue"])


@router.get("", summary="List the items that can be ordered, and whether stock is there")
async def get_catalogue(
    caller: Reader,
    catalogue: CatalogueDep,
    item_id: Ids = None,
    category: OfCategory = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[Entry]:
    """Return one page. An item that is not listed is unknown or discontinued, and cannot be ordered.

    An order for an item that is not available waits as a backorder.
    """
    after = views.CATALOGUE.decode(cursor)
    async with catalogue.database.reading() as session:
        return await views.page(session, Entry, item_id, category, after, limit)


@router.get("/quantities", summary="List the items that can be ordered, with their unreserved quantities")
async def get_quantities(
    caller: QuantityReader,
    catalogue: CatalogueDep,
    item_id: Ids = None,
    category: OfCategory = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[Quantities]:
    """Return one page. An item that is not listed is unknown or discontinued, and cannot be ordered.

    The quantity is on hand and not reserved, over all locations. Backorders that wait for more may be served first.
    """
    after = views.CATALOGUE.decode(cursor)
    async with catalogue.database.reading() as session:
        return await views.page(session, Quantities, item_id, category, after, limit)
