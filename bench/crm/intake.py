"""Measure what comes in: events of orders, complaints over HTTP, and mails."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import asyncpg
import httpx

from bench import client
from bench.cpu import Meter, Reading, used
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
SCOPES: Final = ("crm:read", "crm:write")
HOST: Final = "127.0.0.1"
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
    body = json.dumps({"kind": "complaint", "subject": "It is late", "text": "Where is it?", "order_id": str(id)})
    headers = {"content-type": "application/json", "authorization": f"Bearer {stack.token(PARTNER, [*SCOPES])}"}
    requests = [
        client.request("/v1/cases", HOST, headers | {"idempotency-key": f"bench-{number}"}, body.encode())
        for number in range(size.complaints)
    ]
    note, meter = f"{size.connections} connections", Meter(stack_pids(stack))
    began = meter.read()
    seconds = in_thread(lambda: _post(stack, requests, size.connections))
    return [
        Row("Complaint over HTTP", [size.complaints / seconds], "/s", 300, note=note),
        _time("A complaint", began, meter.read(), size.complaints),
    ]


def mails(stack: Stack, size: Size) -> list[Row]:
    """mails to cases"""
    token = stack.operator_token(["crm:staff"], "bench")
    headers = {"content-type": "message/rfc822", "authorization": f"Bearer {token}"}
    requests = [
        client.request("/v1/mail?recipient=support@crm.test", HOST, headers, _mail(number))
        for number in range(size.mails)
    ]

    async def file() -> float:
        started = time.monotonic()
        await _post(stack, requests, size.connections)
        await until(stack, FILED, size.mails)
        return time.monotonic() - started

    meter, note = Meter(stack_pids(stack)), "stored, read in a child, filed"
    began = meter.read()
    return [
        Row("Mail to case", [size.mails / in_thread(file)], "/s", 100, note=note),
        _time("A mail", began, meter.read(), size.mails),
    ]


def stack_pids(stack: Stack) -> dict[str, int]:
    return {each.name: each.pid for each in stack.handles() if each.pid is not None}


def _time(what: str, before: Reading, after: Reading, count: int) -> Row:
    """Return the processor time of one. Without that of child processes, and of this one, which sends."""
    spent = {name: seconds / count * 1e3 for name, seconds in used(before, after).items() if seconds / count > 1e-4}
    note = ", ".join(f"{name} {each:.1f}" for name, each in spent.items())
    return Row(f"{what}, processor time", [sum(spent.values())], "ms", note=note)


def _mail(number: int) -> bytes:
    return (
        f"From: c{number}@example.com\r\nTo: support@crm.test\r\nSubject: Order {number}\r\n"
        f"Message-ID: <{new_id()}@example.com>\r\n\r\nMy order has not come.\r\n"
    ).encode()


async def _post(stack: Stack, requests: Sequence[bytes], connections: int) -> float:
    """Post requests over so many connections, and return the seconds. Raise BenchFailed if one is not answered 201."""
    port = int(stack.url(SERVICE).rpartition(":")[2])
    began = time.monotonic()
    for each in await client.post_all(HOST, port, requests, connections=connections, seconds=WAIT_SECONDS):
        if each.status != 201:
            raise BenchFailed(f"a request was answered {each.status}: {each.body[:300]!r}")
    return time.monotonic() - began


def client_of(stack: Stack, connections: int, *, staff: bool, partner: str = PARTNER) -> httpx.AsyncClient:
    scopes = ["crm:staff"] if staff else ["crm:read", "crm:write"]
    token = stack.operator_token(scopes, "bench") if staff else stack.token(partner, scopes)
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
