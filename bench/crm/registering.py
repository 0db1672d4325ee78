"""Measure the registration of a customer that may be one of a million others."""

import time
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from bench.crm.intake import client_of
from bench.crm.size import Size
from bench.crm.volume import make, p99
from bench.results import Row
from bench.stack import BenchFailed
from crossdock_cli.waiting import in_thread
from crossdock_local.stack import Stack

GIVEN: Final = ("Ada", "Bela", "Carl", "Dora", "Emil", "Fern", "Gus", "Hana", "Igor", "Jana", "Karl", "Lena", "Max")
FAMILIES: Final = ("Abbott", "Barlow", "Carver", "Dalton", "Ellery", "Fraser", "Gibson", "Harlow", "Irving", "Jarvis")
INDEX: Final = (
    "INSERT INTO match_keys (key, customer_id) "
    "SELECT ('x' || substr(md5(k || 'k' || n), 1, 16))::bit(64)::bigint AS key, md5('c' || n)::uuid "
    "FROM generate_series(1, {customers}) n, generate_series(1, 6) k ORDER BY key",
    "INSERT INTO channels (match, customer_id, kind, address, added_at) "
    "SELECT '+4930' || 10000000 + n, md5('c' || n)::uuid, 'phone', '+4930' || 10000000 + n, now() "
    "FROM generate_series(1, {customers}) n",
)
"""Six keys and a phone number for each of the million. Only their number matters: no key is that of a new customer."""


def customers(stack: Stack, size: Size) -> list[Row]:
    """suspects of new customers"""
    in_thread(lambda: make(stack, size, INDEX))

    async def register() -> list[float]:
        seconds = []
        async with client_of(stack, 1, staff=True) as client:
            for again in (False, True):
                for body in _bodies(size.registered, again=again):
                    began = time.perf_counter()
                    answer = await client.post("/v1/customers", json=body)
                    seconds.append(time.perf_counter() - began)
                    if answer.status_code != 201 or (again and not answer.json()["suspects"]):
                        raise BenchFailed(f"{body} was answered {answer.status_code}: {answer.text[:300]}")
        return sorted(seconds[size.registered :])

    note = f"one at a time; each may be one of {size.registered} in the same town, and {size.customers:,} are indexed"
    return [Row("Create with suspects, p99", [p99(in_thread(register))], "ms", 30, "less", note)]


def _bodies(count: int, *, again: bool) -> Iterator[dict[str, Any]]:
    """Yield customers of one town. `again`: the same people, with another spelling of the name."""
    for number, (family, given) in zip(range(count), product(FAMILIES, GIVEN), strict=False):
        street = {"street": f"{number} High Street", "city": "Exeter", "postcode": "EX1 1AA", "country": "GB"}
        yield {
            "name": f"{given} {family}{family[-1] if again else ''}",
            "channels": [{"kind": "phone", "value": f"+4930{55_000_000 + number}"}],
            "addresses": [street],
        }
