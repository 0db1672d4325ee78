"""Events of other services, and what this service counts after them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import httpx

from crossdock_chassis import JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import envelope_of, run_queued
from crossdock_events import Envelope, Event
from crossdock_events.items import ItemRegistered
from crossdock_events.orders import Destination, OrderCancelled, OrderLine, OrderPlaced
from crossdock_events.reservations import Allocation, ReservedLine, StockReserved
from crossdock_events.stock import Level, StockLevelChanged

E = TypeVar("E", bound=Event)

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def at(time: datetime, event: E, sequence: int = 1) -> Envelope[E]:
    return replace(envelope_of(event, sequence=sequence), time=time)


def placed(
    order: UUID,
    lines: dict[str, int],
    *,
    requested: date | None = None,
    country: str | None = None,
    region: str | None = None,
    replaces: UUID | None = None,
) -> OrderPlaced:
    return OrderPlaced(
        order_id=order,
        partner="acme",
        reference=f"PO-{order}"[:60],
        replaces=replaces,
        channel="api",
        priority=5,
        requested_date=requested,
        partial=False,
        ship_to=None if country is None else Destination(country=country, region=region),
        currency="EUR",
        lines=tuple(
            OrderLine(line_id=str(n), item_id=item, quantity=quantity, amount=Decimal("1.00"))
            for n, (item, quantity) in enumerate(lines.items(), start=1)
        ),
        total=Decimal("1.00"),
    )


def cancelled(order: UUID, reason: str = "partner_request") -> OrderCancelled:
    return OrderCancelled(order_id=order, partner="acme", reference=f"PO-{order}"[:60], reason=reason)


def reserved(order: UUID, places: dict[str, dict[str, int]]) -> StockReserved:
    return StockReserved(
        order_id=order,
        lines=tuple(
            ReservedLine(
                line_id=str(n),
                item_id=item,
                requested=max(1, sum(of_item.values())),
                reserved=sum(of_item.values()),
                backordered=0,
                allocations=tuple(
                    Allocation(location_id=location, quantity=quantity) for location, quantity in of_item.items()
                ),
            )
            for n, (item, of_item) in enumerate(places.items(), start=1)
        ),
    )


def registered(item: str, category: str | None = None) -> ItemRegistered:
    return ItemRegistered(item_id=item, unit_of_measure="each", category=category, status="active")


def levels(item: str, **free: int) -> StockLevelChanged:
    made = tuple(Level(location_id=location, on_hand=on_hand, reserved=0) for location, on_hand in free.items())
    return StockLevelChanged(item_id=item, levels=made, available=sum(free.values()), causes=("receipt",))


async def days(service: Service) -> dict[tuple[str, str, str, date], int]:
    """Return what is counted, by item, location, region and day."""
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT * FROM demand_days WHERE quantity <> 0")
    return {(row["item_id"], row["location_id"], row["region"], row["day"]): row["quantity"] for row in rows}


async def imported(service: Service, client: httpx.AsyncClient, text: str | bytes) -> httpx.Response:
    """Import a CSV file of demand, and return the import after its end."""
    answer = await client.post("/v1/demand:import", content=text, headers={"content-type": "text/csv"})
    if answer.status_code >= 400:
        return answer
    await run_queued(service)
    return await client.get(f"/v1/imports/{answer.json()['id']}")


async def run_once(service: Service, job: Callable[[JobRun], Awaitable[object]]) -> object:
    """Run a periodic job once."""
    return await job(JobRun(service.database, Claimed(new_id(), None, "test", {})))
