"""Items over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field

from crossdock_chassis import (
    INVALID,
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
    Why,
    Writer,
    registered,
    shown,
)
from inventory_service.items import views
from inventory_service.items.change import ChangeItem
from inventory_service.items.model import (
    DEFAULT_UNIT,
    MAX_FACTOR,
    MAX_UNITS,
    BaseUnitNamed,
    Category,
    Description,
    DuplicateItem,
    ItemId,
    NoSuchItem,
    Status,
    Traits,
    UnitOfMeasure,
)
from inventory_service.items.register import RegisterItem
from inventory_service.items.views import ItemView
from inventory_service.stock.model import UnitName

NO_SUCH_ITEM: Final = Problem(404, "no-such-item", "No item has this id")
DUPLICATE_ITEM: Final = Problem(
    409,
    "duplicate-item",
    "An item with this id exists and has other content",
    headers={"Location": lambda error: f"/v1/items/{segment(error.item_id)}"},
)

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchItem: NO_SUCH_ITEM,
    DuplicateItem: DUPLICATE_ITEM,
    BaseUnitNamed: INVALID,
}


@dataclass(frozen=True, slots=True)
class Items:
    """The dependencies of the routes."""

    database: Database
    register: Coalescer[RegisterItem, Registered[ItemView]]
    change: Coalescer[ChangeItem, ItemView]


ItemsDep = Annotated[Items, provided(Items)]
router = APIRouter(prefix="/v1/items", tags=["items"])


Units = Annotated[
    dict[UnitName, Annotated[int, Number(1, MAX_FACTOR)]],
    Field(
        max_length=MAX_UNITS,
        description="Other units and their number of base units",
        examples=[{"kg": 1000}],
        json_schema_extra={"additionalProperties": False},
    ),
]


class ItemIn(Body):
    """`description` is for people. It is shown here and never sent in an event."""

    item_id: ItemId
    unit_of_measure: UnitOfMeasure = DEFAULT_UNIT
    units: Annotated[Units, Field(default_factory=dict)]
    category: Category | None = None
    description: Description | None = None


class ItemPatch(Patch):
    """A member that is left out changes nothing. Null removes the category or the description."""

    unit_of_measure: UnitOfMeasure = DEFAULT_UNIT
    units: Annotated[Units, Field(default_factory=dict)]
    category: Category | None = None
    status: Status = "active"
    description: Description | None = None


@router.post(
    "",
    dependencies=STOCK,
    status_code=201,
    response_model=ItemView,
    summary="Register an item",
    responses={200: {"model": ItemView, "description": REGISTERED_BEFORE}, **errors(INVALID, DUPLICATE_ITEM)},
)
async def post_item(body: ItemIn, caller: Writer, why: Why, key: IdempotencyKey, items: ItemsDep) -> Response:
    traits = Traits(body.unit_of_measure, body.category, "active", body.description, body.units)
    return registered(await items.register(RegisterItem(body.item_id, traits, why), key.of(body)))


@router.get("", summary="List items")
async def get_items(
    caller: Reader,
    items: ItemsDep,
    status: Status | None = None,
    category: Annotated[str | None, Query(max_length=64)] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[ItemView]:
    after = views.ITEMS.decode(cursor)
    async with items.database.reading() as session:
        return await views.page(session, status, category, after, limit)


@router.get("/{item_id}", response_model=ItemView, summary="Show an item", responses=errors(NO_SUCH_ITEM))
async def get_item(item_id: str, caller: Reader, items: ItemsDep) -> Response:
    async with items.database.reading() as session:
        return shown(await views.get(session, item_id))


@router.patch(
    "/{item_id}",
    dependencies=STOCK,
    response_model=ItemView,
    summary="Change an item",
    description='`"status": "active"` makes a discontinued item available again.',
    responses=errors(INVALID, NO_SUCH_ITEM),
)
async def patch_item(
    item_id: str, body: ItemPatch, caller: Writer, why: Why, match: IfMatch, items: ItemsDep
) -> Response:
    return shown((await items.change(ChangeItem(item_id, body.changes(), match.check, why))).result)


@router.post(
    "/{item_id}:discontinue",
    dependencies=STOCK,
    response_model=ItemView,
    summary="Discontinue an item",
    description="The item can no longer be ordered. Reserved stock stays reserved, and backorders go on waiting.",
    responses=errors(NO_SUCH_ITEM),
)
async def post_discontinue(
    item_id: str, caller: Writer, why: Why, match: IfMatch, key: IdempotencyKey, items: ItemsDep
) -> Response:
    command = ChangeItem(item_id, {"status": "discontinued"}, match.check, why)
    done = await items.change(command, key.of(None))
    return shown(done.result, replayed=done.replayed)
