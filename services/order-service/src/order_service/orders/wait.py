"""Serve `Prefer: wait=N`: the caller waits for the decision instead of taking the receipt.

One query serves all waiting callers, and none runs if no caller waits. So a thousand callers cost as much as one.
"""

import asyncio
import logging
from collections import defaultdict
from typing import Final
from uuid import UUID

from sqlalchemy import select

from crossdock_chassis import Database
from order_service.orders.model import Status
from order_service.tables import OrderRow

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.02
TROUBLE_SECONDS: Final = 0.5
AT_ONCE: Final = 10_000
"""The most ids in one query. The other ids wait for a later query."""


class Waiters:
    def __init__(self, database: Database, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._database, self._look_seconds = database, look_seconds
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = defaultdict(set)
        self._watcher: asyncio.Task[None] | None = None

    async def decided(self, order_id: UUID, seconds: float) -> bool:
        """Wait until the order leaves `placed`. Return False if the time runs out first."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[order_id].add(future)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return False
        finally:
            self._forget(order_id, future)
        return True

    def _forget(self, order_id: UUID, future: "asyncio.Future[None]") -> None:
        if (futures := self._waiting.get(order_id)) is not None:
            futures.discard(future)
            if not futures:
                del self._waiting[order_id]

    async def _watch(self) -> None:
        while self._waiting:
            try:
                decided = await self._look(list(self._waiting)[:AT_ONCE])
            except Exception as error:  # each caller still has a timeout, and the next query may succeed
                log.warning("cannot read the status of waiting orders, will retry: %s: %s", type(error).__name__, error)
                await asyncio.sleep(TROUBLE_SECONDS)
                continue
            for order_id in decided:
                for future in self._waiting.pop(order_id, ()):
                    if not future.done():
                        future.set_result(None)
            await asyncio.sleep(self._look_seconds)

    async def _look(self, order_ids: list[UUID]) -> list[UUID]:
        async with self._database.reading() as session:
            query = select(OrderRow.id).where(OrderRow.id.in_(order_ids), OrderRow.status != Status.PLACED)
            return list(await session.scalars(query))
