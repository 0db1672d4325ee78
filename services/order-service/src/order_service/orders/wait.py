"""`Prefer: wait=N`: callers who would rather have the decision than a receipt.

One look at the database for all who wait, and none while nobody does; so a thousand waiters cost what one costs.
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
"""More ids than that are looked at in turns."""


class Waiters:
    def __init__(self, database: Database, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._database, self._look_seconds = database, look_seconds
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = defaultdict(set)
        self._watcher: asyncio.Task[None] | None = None

    async def decided(self, order_id: UUID, seconds: float) -> bool:
        """Whether the order left `placed` within that time."""
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
            except Exception as error:  # whoever waits is answered when his time is up; the next look may go well
                log.warning("cannot look for decided orders: %s: %s", type(error).__name__, error)
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
