"""What the services say once the day is over."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from crossdock_local.errors import Refused
from crossdock_local.replay.posting import problem_of
from crossdock_local.replay.waiting import Backorder, Scarce, scarcest

ITEMS_AT_ONCE = 50


async def status_of(client: httpx.AsyncClient, order_service: str, token: str, order_id: str) -> str:
    answer = await _get(client, f"{order_service}/v1/orders/{order_id}", token)
    return str(answer["status"])


async def what_waits(client: httpx.AsyncClient, inventory: str, token: str) -> tuple[int, Scarce | None]:
    """How many orders wait for stock, everybody's and not only the day's, and the receipt that helps most."""
    needs: defaultdict[str, Counter[str]] = defaultdict(Counter)
    async for row in _pages(client, f"{inventory}/v1/backorders", token):
        needs[row["order_id"]][row["item_id"]] += row["quantity"]
    backorders = [Backorder(order_id, lines) for order_id, lines in needs.items()]
    items = sorted({item for backorder in backorders for item in backorder.needs})
    available: Counter[str] = Counter()
    for start in range(0, len(items), ITEMS_AT_ONCE):
        part = items[start : start + ITEMS_AT_ONCE]
        async for row in _pages(client, f"{inventory}/v1/availability", token, [("item_id", item) for item in part]):
            available[row["item_id"]] += row["available"]
    return len(backorders), scarcest(backorders, available)


async def _pages(
    client: httpx.AsyncClient, url: str, token: str, query: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[Any]:
    cursor: str | None = None
    while True:
        page = await _get(client, url, token, [*query, *([("cursor", cursor)] if cursor else [])])
        for row in page["items"]:
            yield row
        if not (cursor := page.get("next_cursor")):
            return


async def _get(client: httpx.AsyncClient, url: str, token: str, query: Sequence[tuple[str, str]] = ()) -> Any:
    answer = await client.get(url, params=list(query), headers={"Authorization": f"Bearer {token}"})
    if not answer.is_success:
        raise Refused(f"{url} was refused: {problem_of(answer)}")
    return answer.json()
