"""What inventory-service says once the day is over."""

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
    """The stock side of an installation. Its methods raise CommandError with the problem that was answered."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client, self._url, self._headers = client, url, {"Authorization": f"Bearer {token}"}

    async def settled(self) -> None:
        """Until nobody waits whom free stock could serve: an order that came while others waited may have queued behind
        them for a moment. Gives up silently after a while, for `crossdock verify` says what is wrong then."""
        deadline = time.perf_counter() + RELEASED_SECONDS
        while time.perf_counter() < deadline:
            overdue = await self._get("/v1/backorders/overdue")
            if not overdue["queued_items"] and not overdue["orders"]:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def backorders(self) -> list[Backorder]:
        """Every order that waits, not only the day's, in the order in which they are served."""
        needs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        async for row in self._pages("/v1/backorders/orders", [("limit", str(ROWS_AT_ONCE))]):
            needs[row["order_id"]][row["item_id"]] += row["quantity"]
        return [Backorder(order_id, lines) for order_id, lines in needs.items()]

    async def available(self, items: Sequence[str]) -> dict[str, int]:
        """Units nobody has been promised, over all locations."""
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
