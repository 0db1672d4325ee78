"""Give tests access to a running stack: clients, stock, the log, and the facts that the checker cannot know."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from crossdock_cli.verify import Known, Report, verify
from crossdock_cli.verify.log import Entry, Log, Place
from crossdock_cli.verify.reader import Reader
from crossdock_events import CATALOGUE, Envelope, Event, Message
from crossdock_local.stack import Stack

ORDERS, INVENTORY, ANALYTICS = "order-service", "inventory-service", "analytics-service"
FORECAST = "forecast-service"
CRM = "crm-service"
SCOPES = (
    "orders:read",
    "orders:write",
    "stock:read",
    "stock:write",
    "forecasts:read",
    "forecasts:write",
    "crm:read",
    "crm:write",
    "events:read",
    "ops:read",
    "ops:act",
)
LOCATIONS = ("EAST", "WEST")
PATIENCE = 60.0
"""Seconds to wait for a condition. Long, because the machine may be busy."""

T = TypeVar("T")
Body = dict[str, Any]


async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE) -> T:
    """Poll `look` and return its first true result. Raise TimeoutError with the last result after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {seconds:.0f} s")
        await asyncio.sleep(0.05)
    return answer


def order(reference: str, *lines: tuple[str, int], price: str = "2.50", **more: Any) -> Body:
    """Return a body of POST /v1/orders. Each line is an item and a quantity."""
    total = sum((Decimal(price) * quantity for _, quantity in lines), Decimal(0))
    return {
        "reference": reference,
        "currency": "USD",
        "lines": [
            {"line_id": str(number), "item_id": item, "quantity": quantity, "unit_price": price}
            for number, (item, quantity) in enumerate(lines, start=1)
        ],
        "total": str(total),
        **more,
    }


class Harness:
    """One stack for the whole test run. `known` returns the facts that the checker cannot find by itself."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.accepted: dict[tuple[str, str], str | None] = {}
        self.injected: set[Place] = set()
        self.poison: set[Place] = set()

    # Requests

    def token(self, partner: str = "acme", scopes: Sequence[str] = SCOPES) -> str:
        return self.stack.token(partner, scopes)

    def client(self, service: str = ORDERS, partner: str = "acme", scopes: Sequence[str] = SCOPES) -> httpx.AsyncClient:
        """Return a client for one test. It is not shared, because it depends on the event loop of the test."""
        headers = {"Authorization": f"Bearer {self.token(partner, scopes)}"}
        return httpx.AsyncClient(base_url=self.stack.url(service), headers=headers, timeout=PATIENCE)

    async def post(self, client: httpx.AsyncClient, body: Body, partner: str = "acme", **headers: str) -> Body:
        """Place an order, and remember that its partner received the answer."""
        answer = await client.post("/v1/orders", json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        placed: Body = answer.json()
        self.accepted[partner, body["reference"]] = placed["id"]
        return placed

    async def get(self, client: httpx.AsyncClient, order_id: str) -> Body:
        answer = await client.get(f"/v1/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        shown: Body = answer.json()
        return shown

    async def until(self, client: httpx.AsyncClient, order_id: str, status: str) -> Body:
        """Wait until the order has this status, and return the order."""

        async def there() -> Body | None:
            shown = await self.get(client, order_id)
            return shown if shown["status"] == status else None

        return await eventually(there)

    # Stock

    async def items(self, count: int = 1, *, on_hand: int = 0, location: str = LOCATIONS[0]) -> list[str]:
        """Register items with stock at a location, and wait until order-service knows them."""
        names = [f"SKU-{uuid4().hex[:10]}" for _ in range(count)]
        async with self.client(INVENTORY) as client:
            for rank, place in enumerate(LOCATIONS, start=1):
                answer = await client.post("/v1/locations", json={"location_id": place, "rank": rank, "name": place})
                assert answer.status_code in (200, 201), answer.text
            for name in names:
                answer = await client.post("/v1/items", json={"item_id": name, "unit_of_measure": "each"})
                assert answer.status_code == 201, answer.text
        if on_hand:
            await self.receive({name: on_hand for name in names}, location)
        async with self.client() as client:
            probe = order("probe", *((name, 1) for name in names))

            async def known() -> bool:
                return (await client.post("/v1/orders:validate", json=probe)).status_code == 200

            await eventually(known)
        return names

    async def receive(self, quantities: Mapping[str, int], location: str = LOCATIONS[0]) -> None:
        lines = [{"item_id": item, "quantity": quantity} for item, quantity in quantities.items()]
        body = {"reference": f"GRN-{uuid4().hex[:12]}", "location_id": location, "lines": lines}
        async with self.client(INVENTORY) as client:
            answer = await client.post("/v1/receipts", json=body)
            assert answer.status_code == 201, answer.text

    async def write_off(self, item: str, quantity: int, location: str = LOCATIONS[0]) -> None:
        lines = [{"item_id": item, "quantity": -quantity}]
        body = {
            "reference": f"ADJ-{uuid4().hex[:12]}",
            "location_id": location,
            "reason": "damage",
            "lines": lines,
        }
        async with self.client(INVENTORY) as client:
            answer = await client.post("/v1/adjustments", json=body)
            assert answer.status_code == 201, answer.text

    async def availability(self, item: str) -> Body:
        async with self.client(INVENTORY) as client:
            answer = await client.get("/v1/availability", params={"item_id": item})
            assert answer.status_code == 200, answer.text
            (found,) = answer.json()["items"]
            shown: Body = found
            return shown

    # The log

    async def log(self, *topics: str) -> Log:
        """Read these topics from the beginning to their current ends."""
        async with Reader(self.stack.kafka, topics) as reader:
            return await reader.read(await reader.ends())

    async def events(self, event: type[Event], key: str) -> list[Envelope[Event]]:
        """Return the events of one key on the topic of `event`, each once and in order."""
        found = (await self.log(event.topic.name)).by_key(event.topic.name).get(key, [])
        return [envelope for entry in found if isinstance(envelope := CATALOGUE.decode(entry.message), Envelope)]

    async def inject(self, message: Message, *, poison: bool = False) -> Place:
        """Write a record to Kafka that no database contains, and remember its place."""
        async with self.producer() as producer:
            done = await producer.send_and_wait(
                message.topic, message.value, key=message.key, headers=list(message.headers.items())
            )
        place = message.topic, done.partition, done.offset
        self.injected.add(place)
        if poison:
            self.poison.add(place)
        return place

    async def copy(self, entries: Sequence[Entry], *, poison: bool = False) -> None:
        """Write the same records again, in this order."""
        async with self.producer() as producer:
            sent = [
                await producer.send(
                    entry.topic, entry.value, key=entry.key, headers=list(entry.headers), partition=entry.partition
                )
                for entry in entries
            ]
            places = {(done.topic, done.partition, done.offset) for done in await asyncio.gather(*sent)}
        self.injected |= places
        if poison:
            self.poison |= places

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.stack.kafka, acks="all")
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    # Databases

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.stack.dsn(service))
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    # Verification

    def known(self) -> Known:
        return Known(dict(self.accepted), frozenset(self.injected), frozenset(self.poison))

    async def verify(self, seconds: float = 2 * PATIENCE) -> Report:
        return await asyncio.to_thread(verify, self.stack, self.known(), settle_seconds=seconds)

    async def adds_up(self) -> None:
        report = await self.verify()
        assert report.clean, str(report)


def of(entry: Entry) -> Body:
    """Return the data of a record."""
    data: Body = json.loads(entry.value)
    return data
