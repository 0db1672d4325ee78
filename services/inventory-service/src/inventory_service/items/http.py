"""Items over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
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
    cause,
    etag,
    json_response,
    limited,
    requires,
)
from crossdock_events import Cause
from inventory_service.items import views
from inventory_service.items.change import ChangeItem
from inventory_service.items.model import DEFAULT_UNIT, Category, Description, ItemId, Status, Traits, UnitOfMeasure
from inventory_service.items.register import RegisterItem
from inventory_service.items.views import ItemView, Registered

Reader = Annotated[Caller, requires("stock:read")]
Writer = Annotated[Caller, requires("stock:write")]
STOCK = [limited("stock")]
Why = Annotated[Cause, cause]


class ItemIn(BaseModel):
    """`description` is for people: it is shown here and never sent in an event."""

    model_config = ConfigDict(extra="forbid", strict=True)

    item_id: ItemId
    unit_of_measure: UnitOfMeasure = DEFAULT_UNIT
    category: Category | None = None
    description: Description | None = None


class ItemPatch(BaseModel):
    """What is left out stays as it is; null takes a category or description away."""

    model_config = ConfigDict(extra="forbid", strict=True)

    unit_of_measure: UnitOfMeasure = DEFAULT_UNIT
    category: Category | None = None
    status: Status = "active"
    description: Description | None = None

    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def routes(
    database: Database, register: Coalescer[RegisterItem, Registered], change: Coalescer[ChangeItem, ItemView]
) -> APIRouter:
    router = APIRouter(prefix="/v1/items", tags=["items"])

    @router.post(
        "",
        dependencies=STOCK,
        status_code=201,
        response_model=ItemView,
        summary="Register an item",
        responses={
            200: {"model": ItemView, "description": "It was registered just so before"},
            409: {"description": "`duplicate-item`: an item with this id is another one"},
        },
    )
    async def post_item(body: ItemIn, caller: Writer, why: Why, key: IdempotencyKey) -> Response:
        traits = Traits(body.unit_of_measure, body.category, "active", body.description)
        done = await register(RegisterItem(body.item_id, traits, why), key.of(body))
        item = done.result.item
        return json_response(
            item,
            201 if done.result.created else 200,
            replayed=done.replayed,
            location=f"/v1/items/{item.item_id}",
            etag=etag(item.version),
        )

    @router.get("", summary="List items")
    async def get_items(
        caller: Reader,
        status: Status | None = None,
        category: Annotated[str | None, Query(max_length=64)] = None,
        cursor: PageCursor = None,
        limit: PageLimit = 100,
    ) -> Page[ItemView]:
        after = views.ITEMS.decode(cursor)
        async with database.reading() as session:
            return await views.page(session, status, category, after, limit)

    @router.get("/{item_id}", response_model=ItemView, summary="Show an item", responses=_MISSING)
    async def get_item(item_id: str, caller: Reader) -> Response:
        async with database.reading() as session:
            item = await views.get(session, item_id)
        return json_response(item, etag=etag(item.version))

    @router.patch(
        "/{item_id}",
        dependencies=STOCK,
        response_model=ItemView,
        summary="Change an item",
        description="With `If-Match` only the version it names is changed. `status` makes it `active` again, too.",
        responses={**_MISSING, 412: {"description": "`precondition-failed`: it has changed since"}},
    )
    async def patch_item(item_id: str, body: ItemPatch, caller: Writer, why: Why, match: IfMatch) -> Response:
        done = await change(ChangeItem(item_id, body.changes(), match.check, why))
        return json_response(done.result, etag=etag(done.result.version))

    @router.post(
        "/{item_id}:discontinue",
        dependencies=STOCK,
        response_model=ItemView,
        summary="Discontinue an item",
        description="It can no longer be ordered. What is reserved stays so; orders that wait for it go on waiting.",
        responses=_MISSING,
    )
    async def post_discontinue(item_id: str, caller: Writer, why: Why, match: IfMatch, key: IdempotencyKey) -> Response:
        command = ChangeItem(item_id, {"status": "discontinued"}, match.check, why)
        done = await change(command, key.of(None))
        return json_response(done.result, replayed=done.replayed, etag=etag(done.result.version))

    return router


_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "`no-such-item`"}}
