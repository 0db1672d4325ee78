"""The orders of all partners over HTTP, for operators."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from analytics_service.orders import views
from analytics_service.orders.views import ItemBackorders, OrderNow, Status
from crossdock_chassis import Database, OpsReader, Page, PageCursor, PageLimit, provided


@dataclass(frozen=True, slots=True)
class Orders:
    """The dependency of the routes."""

    database: Database


OrdersDep = Annotated[Orders, provided(Orders)]
Name = Annotated[str, Query(min_length=1, max_length=64)]
router = APIRouter(prefix="/v1", tags=["orders"])


@router.get("/orders", summary="List the orders of all partners, newest first")
async def get_orders(
    caller: OpsReader,
    orders: OrdersDep,
    status: Annotated[Status | None, Query(description="Only orders with this status")] = None,
    partner: Annotated[Name | None, Query(description="Only orders of this partner")] = None,
    waiting_item: Annotated[Name | None, Query(description="Only orders that wait for this item")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[OrderNow]:
    """Return one page. It is built from events, so it is up to some seconds behind order-service."""
    after = views.ORDERS.decode(cursor)
    async with orders.database.reading() as session:
        return await views.orders(session, status, partner, waiting_item, after, limit)


@router.get("/backorders", summary="List the items that orders wait for")
async def get_backorders(
    caller: OpsReader, orders: OrdersDep, cursor: PageCursor = None, limit: PageLimit = 100
) -> Page[ItemBackorders]:
    """Return one page by item id, with the orders that wait and the units that they lack."""
    after = views.BACKORDERS.decode(cursor)
    async with orders.database.reading() as session:
        return await views.backorders(session, after, limit)
