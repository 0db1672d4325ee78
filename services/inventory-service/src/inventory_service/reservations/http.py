"""Reservations and backorders over HTTP. Orders make and end them; an operator ends those of lost orders."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crossdock_chassis import (
    Coalescer,
    Database,
    IdempotencyKey,
    Operator,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    Reason,
    errors,
    json_response,
    provided,
)
from inventory_service.conventions import STOCK, Reader, Why
from inventory_service.reservations import views
from inventory_service.reservations.model import NoSuchReservation
from inventory_service.reservations.release import GiveBack, GivenBack
from inventory_service.reservations.views import Backorder, ItemBackorders, Overdue, QueuePlace, ReservationView

NO_SUCH_RESERVATION: Final = Problem(404, "no-such-reservation", "No order with this id has asked for stock")

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchReservation: NO_SUCH_RESERVATION}


@dataclass(frozen=True, slots=True)
class Reservations:
    """The dependencies of the routes."""

    database: Database
    earmark_after: timedelta
    release: Coalescer[GiveBack, GivenBack]


ReservationsDep = Annotated[Reservations, provided(Reservations)]
ItemFilter = Annotated[str | None, Query(min_length=1, max_length=64, description="Only backorders of this item")]
router = APIRouter(prefix="/v1", tags=["reservations"])


@router.get("/backorders", summary="List items with backorders, by their ids")
async def get_backorders(
    caller: Reader,
    reservations: ReservationsDep,
    item_id: ItemFilter = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[ItemBackorders]:
    after = views.BY_ITEM.decode(cursor)
    async with reservations.database.reading() as session:
        return await views.by_item(session, item_id, after, limit)


@router.get("/backorders/orders", summary="List backordered lines in the order in which they are served")
async def get_backorders_by_order(
    caller: Reader,
    reservations: ReservationsDep,
    item_id: ItemFilter = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[Backorder]:
    after = views.BY_ORDER.decode(cursor)
    async with reservations.database.reading() as session:
        return await views.by_order(session, item_id, after, limit)


@router.get(
    "/backorders/overdue",
    summary="List orders that wait although unreserved stock could serve them",
    description="Empty when the release queue is empty: a moment after every receipt.",
)
async def get_overdue(caller: Reader, reservations: ReservationsDep) -> Overdue:
    async with reservations.database.reading() as session:
        return await views.overdue(session, datetime.now(UTC) - reservations.earmark_after)


@router.get(
    "/reservations/{order_id}", summary="Show the stock reserved for an order", responses=errors(NO_SUCH_RESERVATION)
)
async def get_reservation(order_id: UUID, caller: Reader, reservations: ReservationsDep) -> ReservationView:
    async with reservations.database.reading() as session:
        return await views.get(session, order_id)


@router.get(
    "/reservations/{order_id}/queue",
    summary="Show the place of an order in the queue for stock",
    responses=errors(NO_SUCH_RESERVATION),
)
async def get_queue_place(order_id: UUID, caller: Reader, reservations: ReservationsDep) -> QueuePlace:
    """Return the lines that lack stock, each with the orders that get stock of its item first."""
    async with reservations.database.reading() as session:
        return await views.place(session, order_id)


@router.post(
    "/reservations/{order_id}:release",
    dependencies=STOCK,
    response_model=ReservationView,
    summary="Give back the stock of an order that order-service has lost",
    responses=errors(NO_SUCH_RESERVATION),
)
async def post_release(
    order_id: UUID, body: Reason, caller: Operator, why: Why, key: IdempotencyKey, reservations: ReservationsDep
) -> Response:
    """Release the order for good. If it has ended already, nothing changes.

    Use it after order-service was restored from an older dump, and only for an order that order-service does not know:
    any other order is cancelled there.
    """
    done = await reservations.release(GiveBack(order_id, body.reason, why, caller.actor), key.of(body))
    async with reservations.database.reading() as session:
        return json_response(await views.get(session, order_id), replayed=done.replayed)
