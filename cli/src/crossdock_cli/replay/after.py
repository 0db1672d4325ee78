"""Read the backorders and the available stock after the replay."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from crossdock_cli.errors import CommandError
from crossdock_cli.replay.posting import problem_of
from crossdock_cli.replay.waiting import Backorder

ITEMS_AT_ONCE = 50
ROWS_AT_ONCE = 200
RELEASED_SECONDS = 20.0
POLL_SECONDS = 0.1


class Stock:
    """A client of inventory-service. Its methods raise CommandError with the problem if a request is refused."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client, self._url, self._headers = client, url, {"Authorization": f"Bearer {token}"}

    async def settled(self) -> None:
        """Wait until no order waits that available stock could serve.

        An order that arrives while others wait may queue behind them for a moment. Give up silently after
        RELEASED_SECONDS, because `crossdock verify` then reports the orders that still wait.
        """
        deadline = time.perf_counter() + RELEASED_SECONDS
        while time.perf_counter() < deadline:
            overdue = await self._get("/v1/backorders/overdue")
            if not overdue["queued_items"] and not overdue["orders"]:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def backorders(self) -> list[Backorder]:
        """Return every order that waits, also from before this day, in the order of service."""
        needs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        async for row in self._pages("/v1/backorders/orders", [("limit", str(ROWS_AT_ONCE))]):
            needs[row["order_id"]][row["item_id"]] += row["quantity"]
        return [Backorder(order_id, lines) for order_id, lines in needs.items()]

    async def available(self, items: Sequence[str]) -> dict[str, int]:
        """Return the unreserved units of each item, over all locations."""
        free: dict[str, int] = {}
        for start in range(0, len(items), ITEMS_AT_ONCE):
            query = [("item_id", item) for item in items[start : start + ITEMS_AT_ONCE]]
            async for row in self._pages("/v1/availability", query):
                free[row["item_id"]] = row["available"]
        return free

    async def _pages(self, path: str, query: Sequence[tuple[str, str]]) -> AsyncIterator[Any]:
        cursor: str | None = None
        while True:
            page = await self._get(path, [*query, *([("cursor", cursor)] if cursor else [])])
            for row in page["items"]:
                yield row
            if not (cursor := page.get("next")):
                return

    async def _get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        answer = await self._client.get(self._url + path, params=list(query), headers=self._headers)
        if not answer.is_success:
            raise CommandError(f"inventory-service refused {path}: {problem_of(answer)}")
        return answer.json()
