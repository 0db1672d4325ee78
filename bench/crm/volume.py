"""Measure with a million customers and a million open cases, which SQL makes."""

import hashlib
import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import httpx

from bench.crm.intake import SERVICE, client_of, until
from bench.crm.size import Size
from bench.results import Row
from bench.stack import BenchFailed
from crm_service.cases.timing import Timers
from crossdock_chassis import Database, JobRun, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_cli.waiting import in_thread
from crossdock_local.stack import Stack

CUSTOMERS: Final = (
    "INSERT INTO customers (id, root, kind, origin, met_by, met_as, version, registered_at) "
    "SELECT md5('c' || n)::uuid, md5('c' || n)::uuid, 'person', 'order', 'bench', 'M-' || n, 1, now() "
    "FROM generate_series(1, {customers}) n",
    "INSERT INTO customer_links (namespace, external_id, customer_id) "
    "SELECT 'partner/bench', 'M-' || n, md5('c' || n)::uuid FROM generate_series(1, {customers}) n",
    "INSERT INTO customer_meetings (namespace, external_id, partner) "
    "SELECT 'partner/bench', 'M-' || n, 'bench' FROM generate_series(1, {customers}) n",
    "INSERT INTO customer_orders (order_id, partner, reference, external_id, status, since, placed_at, sequence, "
    "currency, total, lines) SELECT md5('o' || n || '-' || k)::uuid, 'bench', 'M-' || n || '-' || k, 'M-' || n, "
    "'confirmed', now(), now() - k * interval '1 day', 2, 'EUR', '3.98', '[[\"1\", \"SKU-1\", 2]]' "
    "FROM generate_series(1, {customers}) n, generate_series(1, {orders_each}) k",
)
FEW: Final = 20
SMALL: Final = "small"
OF_SMALL: Final = (
    "INSERT INTO partners (name, namespace) VALUES ('small', 'partner/small')",
    "INSERT INTO customer_links (namespace, external_id, customer_id) "
    "SELECT 'partner/small', 'S-' || n, md5('c' || n * {customers} / {few})::uuid FROM generate_series(1, {few}) n",
    "INSERT INTO customer_meetings (namespace, external_id, partner) "
    "SELECT 'partner/small', 'S-' || n, 'small' FROM generate_series(1, {few}) n",
)
CASES: Final = (
    "INSERT INTO cases (id, kind, customer_id, partner, status, severity, subject, channel, version, entries, "
    "opened_at, changed_at) SELECT md5('k' || n)::uuid, 'complaint', md5('c' || 1 + n % {customers})::uuid, 'bench', "
    "'new', 'normal', 'It is late', 'api', 1, 1, now(), now() FROM generate_series(1, {open_cases}) n",
    "INSERT INTO case_entries (case_id, number, at, did, status, side) SELECT md5('k' || n)::uuid, 1, now(), 'opened', "
    "'new', 'partner' FROM generate_series(1, {open_cases}) n",
    "INSERT INTO case_timers (case_id, clock, noticed, due_at) SELECT md5('k' || n)::uuid, clock, noticed, "
    "now() + n * interval '1 second' + interval '1 day' FROM generate_series(1, {open_cases}) n, "
    "unnest('{{first_answer,resolution}}'::text[]) clock, unnest('{{risk,breach}}'::text[]) noticed",
)
DUE: Final = (
    "CREATE TEMPORARY TABLE due AS SELECT id FROM cases WHERE subject = 'It is late' AND partner = 'bench' "
    "AND channel = 'api' AND kind = 'complaint' AND id = ANY "
    "(ARRAY(SELECT md5('k' || n)::uuid FROM generate_series(1, {due}) n))",
    "UPDATE case_entries SET at = at - interval '24 hours 1 second' FROM due WHERE case_id = due.id",
    "UPDATE case_timers SET due_at = now() FROM due WHERE case_id = due.id AND (clock, noticed) = "
    "('first_answer', 'breach')",
)
NOTICED: Final = "SELECT count(*) FROM sla_marks WHERE noticed = 'breach' AND clock = 'first_answer'"
SENT: Final = "SELECT CASE WHEN count(*) = 0 THEN 1 ELSE 0 END FROM outbox_pending"


def customers(stack: Stack, size: Size) -> list[Row]:
    """360 of one of many customers"""

    async def show() -> list[float]:
        seconds = []
        async with client_of(stack, 1, staff=True) as client:
            for number in range(size.shown):
                id = UUID(hashlib.md5(f"c{1 + number * 7919 % size.customers}".encode()).hexdigest())
                began = time.perf_counter()
                found = await _got(client, f"/v1/customers/{id}/360")
                seconds.append(time.perf_counter() - began)
                if len(found["orders"]) != size.orders_each:
                    raise BenchFailed(f"the 360 of {id} has {len(found['orders'])} orders")
        return sorted(seconds)

    async def list_customers() -> list[float]:
        seconds = []
        async with client_of(stack, 1, staff=False, partner=SMALL) as client:
            for _ in range(size.shown):
                began = time.perf_counter()
                found = await _got(client, "/v1/customers")
                seconds.append(time.perf_counter() - began)
                if len(found["items"]) != min(FEW, size.customers):
                    raise BenchFailed(f"the partner has {len(found['items'])} customers")
        return sorted(seconds)

    note, of = "one request at a time", f"{FEW} of {size.customers:,} customers"
    return [
        Row("360, p99", [p99(in_thread(show))], "ms", 30, "less", note),
        Row("List of a small partner's customers, p99", [p99(in_thread(list_customers))], "ms", 30, "less", of),
    ]


def p99(seconds: Sequence[float]) -> float:
    """Return the milliseconds that one request in a hundred exceeds. The seconds are in ascending order."""
    return seconds[int(0.99 * (len(seconds) - 1))] * 1e3


def cases(stack: Stack, size: Size) -> list[Row]:
    """timers of many open cases"""
    in_thread(lambda: make(stack, size, CUSTOMERS + OF_SMALL + CASES))

    async def look() -> list[float]:
        database, timers, seconds = Database(stack.dsn(SERVICE), source=SERVICE, pool_size=1), Timers(), []
        run = JobRun(database, Claimed(new_id(), None, "bench", {}))
        try:
            for _ in range(size.looks):
                began = time.perf_counter()
                if (await timers.notice_timers(run))["noticed"]:
                    raise BenchFailed("a timer that is not due was noticed")
                seconds.append(time.perf_counter() - began)
        finally:
            await database.close()
        return sorted(seconds)

    idle = in_thread(look)
    began = time.monotonic()
    in_thread(lambda: make(stack, size, DUE, vacuum=False))
    made = time.monotonic()
    in_thread(lambda: until(stack, NOTICED, size.due))
    in_thread(lambda: until(stack, SENT, 1))
    note = f"noticed and sent by one worker; making them due took {made - began:.0f} s"
    return [
        Row("Idle look at timers, median", [idle[len(idle) // 2] * 1e3], "ms", 1, "less", f"{size.open_cases:,} cases"),
        Row(f"{size.due:,} timers due at once", [time.monotonic() - made], "s", 60, "less", note),
    ]


async def _got(client: httpx.AsyncClient, path: str) -> dict[str, list[dict[str, object]]]:
    answer = await client.get(path)
    if answer.status_code != 200:
        raise BenchFailed(f"GET {path} answered {answer.status_code}: {answer.text[:300]}")
    found: dict[str, list[dict[str, object]]] = answer.json()
    return found


async def make(stack: Stack, size: Size, statements: tuple[str, ...], *, vacuum: bool = True) -> None:
    sql = await asyncpg.connect(stack.dsn(SERVICE))
    fields = {name: getattr(size, name) for name in ("customers", "orders_each", "open_cases", "due")}
    fields["few"] = min(FEW, size.customers)
    try:
        async with sql.transaction():
            for statement in statements:
                await sql.execute(statement.format(**fields))
        if vacuum:
            await sql.execute("VACUUM ANALYZE")
    finally:
        await sql.close()
