"""A warehouse to test in: the service on a database of its own, short calls for its verbs, and bodies for its HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from crossdock_chassis import Content, Moved, Service, Unit
from crossdock_chassis.testing import envelope_of, run_queued
from crossdock_events import Cause, Envelope, Event
from crossdock_events.orders import OrderCancelled, OrderLine, OrderPlaced
from crossdock_events.stock import StockLevelChanged
from inventory_service.items.change import ChangeItem, change_item
from inventory_service.items.model import Traits
from inventory_service.items.register import RegisterItem, register_items
from inventory_service.locations.model import Location
from inventory_service.locations.register import RegisterLocation, register_location
from inventory_service.reservations import backorders, views
from inventory_service.reservations.adjust import adjust_stock
from inventory_service.reservations.release import release
from inventory_service.reservations.reserve import reserve
from inventory_service.reservations.views import ReservationView
from inventory_service.stock import store as stocks
from inventory_service.stock.adjust import AdjustStock
from inventory_service.stock.documents import Document, Part
from inventory_service.stock.receive import ReceiveStock, receive_stock
from inventory_service.stock.reconciliation import reconcile, reconcile_orders
from inventory_service.stock.views import DocumentKind, Recorded

READ, WRITE = "stock:read", "stock:write"
LOCATIONS = ("north", "south")
ALL = 100_000


def placed(
    *lines: tuple[str, int], order_id: UUID | None = None, priority: int = 5, partial: bool = False
) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id or uuid7(),
        partner="acme",
        reference="PO-1",
        channel="api",
        priority=priority,
        partial=partial,
        currency="USD",
        lines=tuple(
            OrderLine(line_id=str(n), item_id=item, quantity=quantity, amount=0)
            for n, (item, quantity) in enumerate(lines, 1)
        ),
        total=0,
    )


def cancelled(order_id: UUID) -> OrderCancelled:
    return OrderCancelled(order_id=order_id, partner="acme", reference="PO-1", reason="partner_request")


E = TypeVar("E", bound=Event)
T = TypeVar("T")


def sent(event: E) -> Envelope[E]:
    """Return the event in the envelope that its owner would send."""
    return envelope_of(event)


def line(item: str, quantity: int) -> dict[str, Any]:
    return {"item_id": item, "quantity": quantity}


def receipt(*lines: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"reference": "GRN-1", "location_id": "north", "lines": list(lines), **other}


async def listed(client: httpx.AsyncClient, path: str, limit: int = 2) -> list[dict[str, Any]]:
    """Return every entry of a list, read page by page."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = (await client.get(f"/v1/{path}", params=query)).json()
        found += page["items"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


async def send(client: httpx.AsyncClient, kind: str, text: str | bytes, **query: Any) -> httpx.Response:
    """Post a file to import."""
    content = text.encode() if isinstance(text, str) else text
    return await client.post(f"/v1/{kind}:import", content=content, params=query, headers={"content-type": "text/csv"})


class Warehouse:
    """The verbs of the service, each call in a unit of its own."""

    def __init__(self, service: Service) -> None:
        self.service, self.database = service, service.database
        self._sweep: backorders.Sweep | None = None

    async def open(self, *items: str, locations: Sequence[str] = LOCATIONS) -> None:
        """Register locations in sourcing order, and items without stock."""
        for rank, location in enumerate(locations, 1):
            command = RegisterLocation(Location(location, rank, location, "US"))
            await self.database.run(register_location, command)
        commands = [RegisterItem(item, Traits(), Cause(uuid7())) for item in items]
        async with self.database.unit() as unit:
            await register_items(unit, commands)

    async def imported(self, client: httpx.AsyncClient, kind: str, text: str | bytes, **query: Any) -> dict[str, Any]:
        """Upload a file, run its job, and return the import."""
        answer = await send(client, kind, text, **query)
        assert answer.status_code == 202, answer.text
        await run_queued(self.service)
        found: dict[str, Any] = (await client.get(answer.headers["location"])).json()
        assert found["state"] in ("done", "refused"), found
        return found

    async def counts(self, client: httpx.AsyncClient, kind: str, text: str, **query: Any) -> tuple[int, int, int]:
        """Import a file without errors. Return how many rows were created, changed and unchanged."""
        found = await self.imported(client, kind, text, **query)
        assert (found["state"], found["wrong"]) == ("done", 0), found
        return found["created"], found["changed"], found["unchanged"]

    async def receive(self, item: str, quantity: int, location: str = "north") -> Recorded:
        return await self.receive_all([(item, quantity)], location)

    async def receive_all(self, lines: Sequence[tuple[str, int]], location: str = "north") -> Recorded:
        command = ReceiveStock(_document("receipt", lines), location)
        return await self.patiently(lambda unit: receive_stock(unit, command))

    async def adjusts(self, *lines: tuple[str, int], location: str = "north") -> list[Event]:
        command = AdjustStock(_document("adjustment", lines), location, "count")
        return await self.published_by(lambda unit: adjust_stock(unit, command))

    async def change(self, item: str, **traits: Any) -> None:
        await self.database.run(change_item, ChangeItem(item, traits, lambda version: None, Cause(uuid7())))

    async def reserve(self, *orders: OrderPlaced | Envelope[OrderPlaced]) -> list[Event]:
        """Reserve as a consumer does: in an optimistic unit, and in an ordinary one if something has moved."""
        batch = [each if isinstance(each, Envelope) else sent(each) for each in orders]
        try:
            async with self.database.optimistic() as unit:
                await reserve(unit, batch)
            return [envelope.event for envelope in unit.published]
        except Moved:
            return await self.published_by(lambda unit: reserve(unit, batch))

    async def cancel(self, *orders: UUID) -> list[Event]:
        return await self.published_by(lambda unit: release(unit, [sent(cancelled(order)) for order in orders]))

    async def serve(self, *, earmark_after: timedelta = timedelta(days=1), max_orders: int = 500) -> list[Event]:
        """Serve one chunk of the release queue."""

        async def serve(unit: Unit) -> None:
            sweep = self._sweep or await backorders.begin(unit)
            if sweep is not None:
                sweep = await backorders.serve(unit, sweep, unit.now - earmark_after, max_orders)
            self._sweep = sweep

        return await self.published_by(serve)

    async def settle(self) -> dict[str, StockLevelChanged]:
        """Publish the levels that have changed, as the worker does a moment later. Return the events by item."""

        async def settle(unit: Unit) -> None:
            rows, items = stocks.changed(await unit.sql.fetch(stocks.CHANGED, ALL))
            await stocks.settle(unit, items)
            await stocks.forget(unit, rows)

        events = await self.published_by(settle)
        return {event.item_id: event for event in events if isinstance(event, StockLevelChanged)}

    async def published_by(self, do: Callable[[Unit], Awaitable[object]]) -> list[Event]:
        async def done(unit: Unit) -> list[Event]:
            await do(unit)
            return [envelope.event for envelope in unit.published]

        return await self.patiently(done)

    async def patiently(self, do: Callable[[Unit], Awaitable[T]]) -> T:
        """Retry on a lock timeout, as the consumer does; raise everything else."""
        for _ in range(10):
            with suppress(asyncpg.LockNotAvailableError):
                async with self.database.unit() as unit:
                    return await do(unit)
        raise AssertionError("no attempt got its locks")

    @asynccontextmanager
    async def holding(self, item: str) -> AsyncIterator[Unit]:
        """Open a unit that has locked the item's head."""
        async with self.database.unit() as unit:
            assert await stocks.lock(unit, [item])
            yield unit

    async def someone_waits(self, sql: asyncpg.Connection) -> None:
        async with asyncio.timeout(20):
            while not await sql.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                await asyncio.sleep(0.005)

    async def drain(self, *, earmark_after: timedelta = timedelta(days=1)) -> list[Event]:
        """Serve the release queue until it is empty."""
        events: list[Event] = []
        for _ in range(1000):
            events += await self.serve(earmark_after=earmark_after)
            if not await self.fetch("SELECT FROM release_queue LIMIT 1"):
                return events
        raise AssertionError("the release queue does not become empty")

    async def held(self, order_id: UUID) -> ReservationView:
        async with self.database.reading() as session:
            return await views.get(session, order_id)

    async def levels(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return on hand and reserved by item and location."""
        rows = await self.fetch("SELECT item_id, location_id, on_hand, reserved FROM levels")
        return {(item, location): (on_hand, reserved) for item, location, on_hand, reserved in rows}

    async def stored(self) -> tuple[int, ...]:
        """Return the number of rows of each table."""
        tables = ("items", "locations", "levels", "movements", "documents", "opening_stock", "outbox")
        async with self.database.unit() as unit:
            counts = [await unit.sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
        return tuple(counts)

    async def refuses(self, client: httpx.AsyncClient, invalid: Sequence[tuple[str, dict[str, Any], str]]) -> None:
        """Post each body to its path: it is refused at its pointer, and nothing is stored."""
        before = await self.stored()
        for path, body, pointer in invalid:
            answer = await client.post(f"/v1/{path}", json=body)
            kind = answer.headers["content-type"]
            assert (answer.status_code, kind) == (422, "application/problem+json"), (path, body)
            assert pointer in [error["pointer"] for error in answer.json()["errors"]], (path, body, answer.json())
        assert await self.stored() == before

    async def fetch(self, query: str, *values: Any) -> Sequence[Any]:
        async with self.database.unit() as unit:
            rows: Sequence[Any] = await unit.sql.fetch(query, *values)
        return rows

    async def check(self, *, earmark_after: timedelta = timedelta(days=1)) -> None:
        """Check invariants 2 and 3, 7 if the queue is empty, and that no key has a gap in its sequences."""
        async with self.database.reading() as session:
            found = await reconcile(session, None, ALL)
            lines = await reconcile_orders(session, None, ALL)
        assert not found.items and not lines.items, (found, lines)
        async with self.database.reading() as session:
            overdue = await views.overdue(session, datetime.now(UTC) - earmark_after)
        assert overdue.queued_items or not overdue.orders, overdue
        gaps = await self.fetch(
            """
            SELECT topic, key FROM (SELECT topic, key, (headers->>'ce_sequence')::bigint AS sequence FROM outbox)
            GROUP BY topic, key HAVING count(*) <> max(sequence) OR count(DISTINCT sequence) <> count(*)
            """
        )
        assert not gaps


def _document(kind: DocumentKind, lines: Sequence[tuple[str, int]]) -> Document:
    parts, reference = tuple(Part(*line) for line in lines), str(uuid7())
    body = _Sent(reference=reference, lines=[part._asdict() for part in parts])
    return Document(kind, "acme", reference, parts, Content.of(body), Cause(uuid7()))


class _Sent(BaseModel):
    reference: str
    lines: list[dict[str, Any]]
