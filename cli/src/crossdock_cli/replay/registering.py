"""Register locations, items and opening stock through inventory-service's HTTP API, before the first order."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from crossdock_cli import imports
from crossdock_cli.errors import CommandError
from crossdock_cli.replay.data import Day
from crossdock_cli.replay.orders import Order
from crossdock_cli.replay.posting import problem_of
from crossdock_cli.replay.stock import items_csv, locations_csv, opening, opening_csv

IMPORT_SECONDS = 60.0
KNOWN_SECONDS = 60.0
POLL_SECONDS = 0.1
MAX_LINES = 500


@dataclass(frozen=True, slots=True)
class Registered:
    """The number of items that the day needs, and of the events that this registration causes.

    Each new item causes one event, and its opening stock another one. A repeated registration causes none.
    """

    items: int
    item_events: int
    stock_events: int


async def register(
    client: httpx.AsyncClient, inventory: str, token: str, day: Day, orders: Sequence[Order]
) -> Registered:
    """Register all that the day needs. A repetition changes nothing. Raise CommandError if a request is refused."""
    products = sorted({int(item) for order in orders for item in order.items})
    stock = list(opening(products, day.sold_before))
    created: dict[str, int] = {}
    for kind, text in (
        ("locations", locations_csv()),
        ("items", items_csv(day.products[product] for product in products)),
        ("opening-stock", opening_csv(stock, f"opening-{day.date}")),
    ):
        created[kind] = (await _imported(client, inventory, token, kind, text))["created"]
    stocked = len(products) if created["opening-stock"] == len(stock) else 0
    return Registered(len(products), created["items"], stocked)


async def _imported(client: httpx.AsyncClient, inventory: str, token: str, kind: str, text: str) -> Mapping[str, Any]:
    """Import a file and return the import at its end."""
    own = {"Authorization": f"Bearer {token}"}
    url = f"{inventory}/v1/{kind}:import"
    answer = await client.post(url, content=text.encode(), headers=own | imports.headers(), timeout=IMPORT_SECONDS)
    while answer.is_success and answer.json()["state"] not in imports.ENDED:
        await asyncio.sleep(POLL_SECONDS)
        answer = await client.get(f"{inventory}/v1/imports/{answer.json()['id']}", headers=own)
    if not answer.is_success:
        raise CommandError(f"inventory-service did not take the {kind} of the trading day: {problem_of(answer)}")
    found: dict[str, Any] = answer.json()
    imports.check(found)
    return found


async def wait_until_known(
    client: httpx.AsyncClient, order_service: str, tokens: Mapping[str, str], orders: Sequence[Order]
) -> None:
    """Wait until order-service knows every item. It reads the items from Kafka, so it knows them later.

    Check with orders that are validated and not stored. Raise CommandError after KNOWN_SECONDS.
    """
    items = sorted({item for order in orders for item in order.items})
    token = tokens[orders[0].partner]
    deadline = time.perf_counter() + KNOWN_SECONDS
    for probe in _probes(items):
        while True:
            answer = await client.post(
                f"{order_service}/v1/orders:validate", json=probe, headers={"Authorization": f"Bearer {token}"}
            )
            if answer.is_success:
                break
            if time.perf_counter() > deadline:
                raise CommandError(f"order-service does not know the day's items after a minute: {problem_of(answer)}")
            await asyncio.sleep(POLL_SECONDS)


def _probes(items: Sequence[str]) -> Iterator[dict[str, object]]:
    for start in range(0, len(items), MAX_LINES):
        part = items[start : start + MAX_LINES]
        lines = [
            {"line_id": str(number), "item_id": item, "quantity": 1, "unit_price": "1.00"}
            for number, item in enumerate(part, start=1)
        ]
        yield {"reference": f"probe-{start}", "currency": "USD", "lines": lines, "total": f"{len(part)}.00"}
