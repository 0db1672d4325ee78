"""A running order-service for a test: a partner's HTTP client, and the events that other services send."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, envelope_of
from crossdock_events import Envelope, Event
from crossdock_events.items import ItemChanged, ItemRegistered
from crossdock_events.orders import RefusedLine
from crossdock_events.reservations import (
    Allocation,
    ReservedLine,
    StockBackordered,
    StockRejected,
    StockReleased,
    StockReserved,
)


def body(reference: str = "PO-1", *, items: Sequence[str] = ("SKU-1", "SKU-2"), **others: Any) -> dict[str, Any]:
    """Return an order of three of each item at 9.99 dollars."""
    lines = [
        {"line_id": str(i), "item_id": item, "quantity": 3, "unit_price": "9.99"} for i, item in enumerate(items, 1)
    ]
    total = f"{29.97 * len(items):.2f}"
    return {"reference": reference, "currency": "USD", "lines": lines, "total": total} | others


def line(item: str, requested: int = 3, reserved: int | None = None, line_id: str = "1") -> ReservedLine:
    got = requested if reserved is None else reserved
    return ReservedLine(
        line_id=line_id,
        item_id=item,
        requested=requested,
        reserved=got,
        backordered=requested - got,
        allocations=(Allocation(location_id="main", quantity=got),) if got else (),
    )


@dataclass
class Shop:
    """The service, clients of two partners, and the events of inventory. `sequence` counts its answers per order."""

    service: Service
    client: httpx.AsyncClient
    other: httpx.AsyncClient
    _deliver: Deliver
    _sequences: dict[UUID, int] = field(default_factory=dict)
    body = staticmethod(body)
    line = staticmethod(line)

    async def knows(self, *items: str) -> None:
        await self.hears(*(ItemRegistered(item_id=item, unit_of_measure="each", status="active") for item in items))

    async def discontinues(self, item: str) -> None:
        await self.hears(ItemChanged(item_id=item, unit_of_measure="each", status="discontinued"))

    async def hears(self, *events: Event | Envelope[Event]) -> list[Event]:
        return await self._deliver(self.service, *events)

    def _next(self, order_id: UUID) -> int:
        self._sequences[order_id] = self._sequences.get(order_id, 0) + 1
        return self._sequences[order_id]

    def reserved(self, order_id: UUID, *lines: ReservedLine, sequence: int | None = None) -> Envelope[Event]:
        event = StockReserved(order_id=order_id, lines=lines or (line("SKU-1"), line("SKU-2", line_id="2")))
        return envelope_of(event, sequence=sequence or self._next(order_id))

    def backordered(self, order_id: UUID, *lines: ReservedLine, sequence: int | None = None) -> Envelope[Event]:
        event = StockBackordered(order_id=order_id, lines=lines or (line("SKU-1", reserved=0),))
        return envelope_of(event, sequence=sequence or self._next(order_id))

    def rejected(self, order_id: UUID, item: str = "SKU-1") -> Envelope[Event]:
        refused = RefusedLine(line_id="1", item_id=item, reason="discontinued_item")
        event = StockRejected(order_id=order_id, reason="discontinued_item", lines=(refused,))
        return envelope_of(event, sequence=self._next(order_id))

    def released(self, order_id: UUID, reason: str = "cancelled") -> Envelope[Event]:
        return envelope_of(StockReleased(order_id=order_id, reason=reason, lines=()), sequence=self._next(order_id))

    async def placed(self, reference: str = "", **others: Any) -> UUID:
        answer = await self.client.post("/v1/orders", json=body(reference or f"PO-{uuid7()}", **others))
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])

    async def show(self, order_id: UUID) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def timeline(self, order_id: UUID) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = (await self.client.get(f"/v1/orders/{order_id}/timeline")).json()["events"]
        return events

    async def count(self, table: str) -> int:
        async with self.service.database.unit() as unit:
            return int(await unit.sql.fetchval(f"SELECT count(*) FROM {table}"))


class OpenShop(Protocol):
    """`shop = await open_shop(backorder_days=1)`: settings as needed; SKU-1 to SKU-3 are known."""

    async def __call__(self, **settings: Any) -> Shop: ...
