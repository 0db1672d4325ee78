"""A whole running Crossdock as tests see it: clients, stock, the log, and what only a test can know about them."""

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
from crossdock_cli.verify.log import Entry, Log, Place, Reader
from crossdock_events import CATALOGUE, Envelope, Event, Message
from crossdock_local.stack import Stack

ORDERS, INVENTORY = "order-service", "inventory-service"
SCOPES = ("orders:read", "orders:write", "stock:read", "stock:write", "ops")
LOCATIONS = ("EAST", "WEST")
PATIENCE = 60.0
"""Seconds that a condition may take to come true on a machine that has other things to do."""

T = TypeVar("T")
Body = dict[str, Any]


async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE) -> T:
    """The first answer that is true. Raises TimeoutError with the last that was not."""
    deadline = time.monotonic() + seconds
    while not (answer := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {seconds:.0f} s")
        await asyncio.sleep(0.05)
    return answer


def order(reference: str, *lines: tuple[str, int], price: str = "2.50", **more: Any) -> Body:
    """As POST /v1/orders takes it; each line is an item and a quantity."""
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
    """Around one stack, for as long as the tests run. `known` gathers what the checker cannot know by itself."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.accepted: dict[tuple[str, str], str | None] = {}
        self.injected: set[Place] = set()
        self.poison: set[Place] = set()

    # Talking to it

    def token(self, partner: str = "acme", scopes: Sequence[str] = SCOPES) -> str:
        return self.stack.token(partner, scopes)

    def client(self, service: str = ORDERS, partner: str = "acme", scopes: Sequence[str] = SCOPES) -> httpx.AsyncClient:
        """For one test, closed with its event loop."""
        headers = {"Authorization": f"Bearer {self.token(partner, scopes)}"}
        return httpx.AsyncClient(base_url=self.stack.url(service), headers=headers, timeout=PATIENCE)

    async def post(self, client: httpx.AsyncClient, body: Body, partner: str = "acme", **headers: str) -> Body:
        """Places an order and remembers that its partner was told so."""
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
        """The order, as soon as it is that."""

        async def there() -> Body | None:
            shown = await self.get(client, order_id)
            return shown if shown["status"] == status else None

        return await eventually(there)

    # What is in stock

    async def items(self, count: int = 1, *, on_hand: int = 0, location: str = LOCATIONS[0]) -> list[str]:
        """New items that order-service knows, with so much of each at that location."""
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

    async def availability(self, item: str) -> Body:
        async with self.client(INVENTORY) as client:
            answer = await client.get("/v1/availability", params={"item_id": item})
            assert answer.status_code == 200, answer.text
            (found,) = answer.json()["items"]
            shown: Body = found
            return shown

    # What is on the log

    async def log(self, *topics: str) -> Log:
        """All of these topics, as it is now."""
        async with Reader(self.stack.kafka, topics) as reader:
            return await reader.read(await reader.ends())

    async def events(self, event: type[Event], key: str) -> list[Envelope[Event]]:
        """What the topic of that event says about one key, each once and in order."""
        found = (await self.log(event.topic.name)).by_key(event.topic.name).get(key, [])
        return [envelope for entry in found if isinstance(envelope := CATALOGUE.decode(entry.message), Envelope)]

    async def inject(self, message: Message, *, poison: bool = False) -> Place:
        """Puts a record of the test's own on the log."""
        async with self.producer() as producer:
            done = await producer.send_and_wait(
                message.topic, message.value, key=message.key, headers=list(message.headers.items())
            )
        place = message.topic, done.partition, done.offset
        self.injected.add(place)
        if poison:
            self.poison.add(place)
        return place

    async def copy(self, entries: Sequence[Entry]) -> None:
        """The same records once more, in this order."""
        async with self.producer() as producer:
            for entry in entries:
                done = await producer.send_and_wait(
                    entry.topic, entry.value, key=entry.key, headers=list(entry.headers), partition=entry.partition
                )
                self.injected.add((entry.topic, done.partition, done.offset))

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self.stack.kafka, acks="all")
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    # What is in its databases

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.stack.dsn(service))
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    # Whether it adds up

    def known(self) -> Known:
        return Known(dict(self.accepted), frozenset(self.injected), frozenset(self.poison))

    async def verify(self, seconds: float = 2 * PATIENCE) -> Report:
        return await asyncio.to_thread(verify, self.stack, self.known(), settle_seconds=seconds)

    async def adds_up(self) -> None:
        report = await self.verify()
        assert report.clean, str(report)


def of(entry: Entry) -> Body:
    """The data of a record."""
    data: Body = json.loads(entry.value)
    return data
