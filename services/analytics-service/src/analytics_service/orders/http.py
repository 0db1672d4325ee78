"""The orders of all partners over HTTP, for operators."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from analytics_service.orders import views
from analytics_service.orders.views import Filters, ItemBackorders, ListOfOrders, OrderCounts, OrderNow
from crossdock_chassis import Database, OpsReader, Page, PageCursor, PageLimit, provided


@dataclass(frozen=True, slots=True)
class Orders:
    """The dependency of the routes."""

    database: Database


OrdersDep = Annotated[Orders, provided(Orders)]
router = APIRouter(prefix="/v1", tags=["orders"])


@router.get("/orders", summary="List the orders of all partners, newest first")
async def get_orders(caller: OpsReader, wanted: Annotated[ListOfOrders, Query()], orders: OrdersDep) -> Page[OrderNow]:
    """Return one page. It is built from events, so it is up to some seconds behind order-service."""
    async with orders.database.reading() as session:
        return await views.orders(session, wanted)


@router.get("/orders/counts", summary="Count the orders of each status")
async def get_counts(caller: OpsReader, filters: Annotated[Filters, Query()], orders: OrdersDep) -> OrderCounts:
    """Count the orders that pass the filters, of each status at most 10,000."""
    async with orders.database.reading() as session:
        return await views.counts(session, filters)


@router.get("/backorders", summary="List the items that orders wait for")
async def get_backorders(
    caller: OpsReader, orders: OrdersDep, cursor: PageCursor = None, limit: PageLimit = 100
) -> Page[ItemBackorders]:
    """Return one page by item id, with the orders that wait and the units that they lack."""
    after = views.BACKORDERS.decode(cursor)
    async with orders.database.reading() as session:
        return await views.backorders(session, after, limit)
