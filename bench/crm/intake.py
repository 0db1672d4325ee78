"""Measure what comes in: events of orders, complaints over HTTP, and mails."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import asyncpg
import httpx

from bench.crm.size import Size
from bench.results import Row
from bench.stack import BenchFailed
from bench.watch.feeder import Feeder
from crossdock_chassis import new_id
from crossdock_cli.waiting import in_thread
from crossdock_events import Event
from crossdock_events.orders import OrderConfirmed, OrderLine, OrderPlaced
from crossdock_local.stack import Stack

SERVICE: Final = "crm-service"
PARTNER: Final = "bench"
WAIT_SECONDS: Final = 300.0
ORDERS_PER_CUSTOMER: Final = 4

PROJECTED: Final = "SELECT count(*) FROM customer_orders WHERE status = 'confirmed'"
MET: Final = "SELECT count(*) FROM customer_meetings"
FILED: Final = "SELECT count(*) FROM mails WHERE direction = 'in' AND state <> 'stored'"


def orders(stack: Stack, size: Size) -> list[Row]:
    """projecting orders"""
    worker = stack.process(f"{SERVICE}.worker")
    worker.stop()
    in_thread(lambda: Feeder(stack, _events(size.orders)).send(2 * size.orders))
    began = time.monotonic()
    worker.start()
    worker.wait_ready()
    in_thread(lambda: until(stack, PROJECTED, size.orders))
    in_thread(lambda: until(stack, MET, -(-size.orders // ORDERS_PER_CUSTOMER)))
    rate = 2 * size.orders / (time.monotonic() - began)
    note = "placed and confirmed, a customer for each four; with the start of the worker"
    return [Row("Projecting orders", [rate], "events/s", 3_000, note=note)]


def complaints(stack: Stack, size: Size) -> list[Row]:
    """complaints over HTTP"""
    id = in_thread(lambda: fetch(stack, "SELECT order_id FROM customer_orders LIMIT 1"))
    body = {"kind": "complaint", "subject": "It is late", "text": "Where is it?", "order_id": str(id)}

    async def post(client: httpx.AsyncClient, number: int) -> None:
        answer = await client.post("/v1/cases", json=body, headers={"Idempotency-Key": f"bench-{number}"})
        if answer.status_code != 201:
            raise BenchFailed(f"POST /v1/cases answered {answer.status_code}: {answer.text[:300]}")

    seconds = in_thread(lambda: _all(stack, size.connections, size.complaints, post))
    return [Row("Complaint over HTTP", [size.complaints / seconds], "/s", 300, note=f"{size.connections} connections")]


def mails(stack: Stack, size: Size) -> list[Row]:
    """mails to cases"""

    async def post(client: httpx.AsyncClient, number: int) -> None:
        raw = (
            f"From: c{number}@example.com\r\nTo: support@crm.test\r\nSubject: Order {number}\r\n"
            f"Message-ID: <{new_id()}@example.com>\r\n\r\nMy order has not come.\r\n"
        )
        headers = {"content-type": "message/rfc822"}
        answer = await client.post("/v1/mail?recipient=support@crm.test", content=raw.encode(), headers=headers)
        if answer.status_code != 201:
            raise BenchFailed(f"POST /v1/mail answered {answer.status_code}: {answer.text[:300]}")

    async def file() -> float:
        began = time.monotonic()
        await _all(stack, size.connections, size.mails, post, staff=True)
        await until(stack, FILED, size.mails)
        return time.monotonic() - began

    return [Row("Mail to case", [size.mails / in_thread(file)], "/s", 100, note="stored, read in a child, filed")]


async def _all(
    stack: Stack,
    connections: int,
    count: int,
    post: Callable[[httpx.AsyncClient, int], Awaitable[None]],
    *,
    staff: bool = False,
) -> float:
    """Post so many requests over so many connections, and return the seconds."""
    numbers = iter(range(count))
    async with client_of(stack, connections, staff=staff) as client:

        async def one() -> None:
            for number in numbers:
                await post(client, number)

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(one())
        return time.monotonic() - began


def client_of(stack: Stack, connections: int, *, staff: bool) -> httpx.AsyncClient:
    scopes = ["crm:staff"] if staff else ["crm:read", "crm:write"]
    token = stack.operator_token(scopes, "bench") if staff else stack.token(PARTNER, scopes)
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=stack.url(SERVICE), headers=headers, limits=limits, timeout=60)


async def fetch(stack: Stack, statement: str) -> Any:
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        return await sql.fetchval(statement)
    finally:
        await sql.close()


async def until(stack: Stack, statement: str, count: int) -> None:
    """Wait until a statement counts so many. Raise BenchFailed after WAIT_SECONDS."""
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while (done := int(await sql.fetchval(statement))) < count:
            if time.monotonic() > deadline:
                raise BenchFailed(f"{statement}: {done:,} of {count:,} in {WAIT_SECONDS:.0f} s.")
            await asyncio.sleep(0.05)
    finally:
        await sql.close()


def _events(count: int) -> Iterator[Event]:
    """Yield orders of one line, each confirmed. Each customer has four."""
    for number in range(count):
        named = {"order_id": new_id(), "partner": PARTNER, "reference": f"PO-{number}"}
        amount = Decimal("3.98")
        line = OrderLine(line_id="1", item_id="SKU-1", quantity=2, unit_price=Decimal("1.99"), amount=amount)
        yield OrderPlaced(
            **named,
            channel="api",
            customer_id=f"C-{number // ORDERS_PER_CUSTOMER}",
            priority=5,
            partial=False,
            currency="EUR",
            lines=(line,),
            total=amount,
        )
        yield OrderConfirmed(**named)
