"""Reservations and backorders over HTTP. They are made and ended by orders only, so there is nothing to post."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from crossdock_chassis import Caller, Database, Page, PageCursor, PageLimit, requires
from inventory_service.reservations import views
from inventory_service.reservations.views import Backorder, ItemBackorders, Overdue, ReservationView

Reader = Annotated[Caller, requires("stock:read")]
ItemFilter = Annotated[str | None, Query(min_length=1, max_length=64, description="Only those that wait for this item")]


def routes(database: Database, earmark_after: timedelta) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["reservations"])

    @router.get("/backorders", summary="Items that orders wait for, those that most wait for first")
    async def get_backorders(
        caller: Reader, item_id: ItemFilter = None, cursor: PageCursor = None, limit: PageLimit = 100
    ) -> Page[ItemBackorders]:
        after = views.BY_ITEM.decode(cursor)
        async with database.reading() as session:
            return await views.by_item(session, item_id, after, limit)

    @router.get("/backorders/orders", summary="Lines that wait, in the order in which they are served")
    async def get_backorders_by_order(
        caller: Reader, item_id: ItemFilter = None, cursor: PageCursor = None, limit: PageLimit = 100
    ) -> Page[Backorder]:
        after = views.BY_ORDER.decode(cursor)
        async with database.reading() as session:
            return await views.by_order(session, item_id, after, limit)

    @router.get(
        "/backorders/overdue",
        summary="Orders that wait although free stock could serve them",
        description="Empty once the release queue is worked off, which takes a moment after every receipt. Reads all "
        "that waits.",
    )
    async def get_overdue(caller: Reader) -> Overdue:
        async with database.reading() as session:
            return await views.overdue(session, datetime.now(UTC) - earmark_after)

    @router.get(
        "/reservations/{order_id}",
        summary="What an order holds",
        responses={404: {"description": "`no-such-reservation`"}},
    )
    async def get_reservation(order_id: UUID, caller: Reader) -> ReservationView:
        async with database.reading() as session:
            return await views.get(session, order_id)

    return router
