"""Measure the search over many stored orders. The orders are made by SQL, so that millions of them take a minute."""

import time
from collections.abc import Iterator
from itertools import cycle
from typing import Final

import httpx

from bench.results import Row
from bench.stack import BenchFailed
from bench.statistics import percentile
from bench.watch.watching import SERVICE, Watch
from crossdock_cli.waiting import in_thread

MOST_MS: Final = 50.0
CHUNK: Final = 250_000
PARTNERS: Final = 50
CALLERS: Final = 20
"""One caller may not search so often."""

GENERATION: Final = "SELECT generation FROM projection WHERE name = 'orders_now' AND state = 'current'"

FILL: Final = """
    INSERT INTO {schema}.orders_now (
        order_id, partner, reference, status, since, placed_at, sequence, priority, currency, total, lines, units
    )
    SELECT ('0190' || lpad(to_hex(n), 12, '0') || '7000800000000000')::uuid, 'searched-' || n % {partners},
           'PO-' || lpad(n::text, 9, '0'), 'confirmed', placed, placed, 2, 5, 'EUR', '11.94', 3, 6
    FROM generate_series($1::bigint, $2::bigint) AS n CROSS JOIN LATERAL (
        SELECT now() - n * interval '1 second' AS placed
    ) AS at
"""


def measure(watch: Watch) -> None:
    orders = watch.size.orders
    watch.stage(f"making {orders:,} orders by SQL")
    in_thread(lambda: _fill(watch, orders))
    watch.stage(f"{watch.size.searches} searches of each kind over {orders:,} orders")
    tokens = cycle(watch.stack.tokens([f"search-{n}" for n in range(CALLERS)], ["ops:read"]).values())
    milliseconds: dict[str, list[float]] = {}
    with httpx.Client(base_url=f"{watch.stack.url(SERVICE)}/v1", timeout=30) as client:
        for n in range(watch.size.searches + 1):
            for kind, text in _texts(1 + n * 7919 % orders):
                began = time.perf_counter()
                answer = client.get("/search", params={"q": text}, headers={"Authorization": f"Bearer {next(tokens)}"})
                took = (time.perf_counter() - began) * 1000
                if not answer.is_success or not any(kind.startswith(each["kind"]) for each in answer.json()["items"]):
                    raise BenchFailed(f"A search for {text!r} found no {kind}: {answer.text[:200]}")
                if n > 0:  # the first search of each kind makes the plans
                    milliseconds.setdefault(kind, []).append(took)
    whole = [took for each in milliseconds.values() for took in each]
    slowest = max(milliseconds, key=lambda kind: percentile(milliseconds[kind], 0.5))
    watch.add(
        Row(f"Search of {orders:,} orders, p50", [percentile(whole, 0.5)], "ms", better="less"),
        Row(f"Search of {orders:,} orders, p99", [percentile(whole, 0.99)], "ms", MOST_MS, "less"),
        Row(f"The slowest kind: {slowest}, p50", [percentile(milliseconds[slowest], 0.5)], "ms", MOST_MS, "less"),
    )


def _texts(n: int) -> Iterator[tuple[str, str]]:
    """Yield what is typed for order `n`, whole and from its beginning."""
    id = f"0190{n:012x}7000800000000000"
    yield "order by its reference", f"PO-{n:09}"
    yield "order by the beginning of its reference", f"PO-{n:09}"[:7]
    yield "order by its id", id
    yield "order by the beginning of its id", id[:12]
    yield "partner", f"searched-{n % PARTNERS}"
    yield "partner by its beginning", "sea"
    yield "item by its beginning", "SKU-1"


async def _fill(watch: Watch, orders: int) -> None:
    sql = await watch.sql()
    try:
        schema = f"orders_now_g{await sql.fetchval(GENERATION)}"
        statement = FILL.format(schema=schema, partners=PARTNERS)
        for first in range(1, orders + 1, CHUNK):
            await sql.execute(statement, first, min(orders, first + CHUNK - 1))
        await sql.execute(f"VACUUM (ANALYZE) {schema}.orders_now")
    finally:
        await sql.close()
