"""Wait until a projection of this service has read everything that its topic holds."""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Final

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import within
from crossdock_chassis.messaging import clients

log = logging.getLogger(__name__)

PUBLISHED_SECONDS: Final = 1.0
"""The time from the commit of an event to its place in the log. The relay of its owner polls at this interval."""
LOOK_SECONDS: Final = 4.0
POLL_SECONDS: Final = 0.05

GROUP = "(SELECT consumer_group FROM projection WHERE name = $1 AND state = 'current')"

NEXT = f"SELECT partition, next FROM consumer_position WHERE consumer_group = {GROUP} AND topic = $2"

PARKED = f"""
    SELECT EXISTS (
        SELECT FROM parked_key WHERE consumer_group = {GROUP} AND topic = $2 AND key = ANY($3::bytea[])
    )
"""


class CatchUp:
    """Compares the positions of the current generation with the ends of the log.

    All callers share one comparison at a time.
    """

    def __init__(self, database: Database, broker: Broker, projection: str, topic: str) -> None:
        self._database, self._broker, self._projection, self._topic = database, broker, projection, topic
        self._read_until = float("-inf")
        self._look: asyncio.Task[bool] | None = None

    async def caught_up(self, since: float, keys: Collection[str]) -> bool:
        """Wait until the projection has read what was committed before `since`, a time of the monotonic clock.

        Return False if the projection may still be behind: its worker or Kafka does not answer, or one of `keys` is
        parked.
        """
        while self._read_until < since:
            if self._look is None:
                self._look = asyncio.create_task(self._look_once())
            if not await asyncio.shield(self._look):
                return False
        return not await self._parked(keys)

    async def _look_once(self) -> bool:
        began = time.monotonic()
        try:
            await asyncio.sleep(PUBLISHED_SECONDS)
            await within(LOOK_SECONDS, self._reach_the_end())
        except Exception as error:
            if not (is_transient(error) or isinstance(error, (*clients.KAFKA_TROUBLE, clients.TopicsMissing))):
                raise
            log.warning("%s may be behind %s: %s: %s", self._projection, self._topic, type(error).__name__, error)
            return False
        finally:
            self._look = None
        self._read_until = began
        return True

    async def _reach_the_end(self) -> None:
        ends = await clients.ends_of(self._broker, self._topic)
        while True:
            async with self._database.unit() as unit:
                rows = await unit.sql.fetch(NEXT, self._projection, self._topic)
            positions = {row["partition"]: row["next"] for row in rows}
            if all(positions.get(partition, 0) >= end for partition, end in ends.items()):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _parked(self, keys: Collection[str]) -> bool:
        async with self._database.unit() as unit:
            parked: bool = await unit.sql.fetchval(
                PARKED, self._projection, self._topic, [key.encode() for key in keys]
            )
        return parked
