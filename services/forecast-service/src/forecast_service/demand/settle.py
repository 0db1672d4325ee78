"""Find out until when all orders are counted: a day is used only after that."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

from crossdock_chassis import CatchUp, Database, JobRun
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderEvent
from crossdock_events.reservations import ReservationEvent
from forecast_service.demand.follow import DEMAND
from forecast_service.settings import Settings

TOPICS: Final = (OrderEvent.topic.name, ReservationEvent.topic.name, ItemEvent.topic.name)

STORE: Final = """
    INSERT INTO settled (at) VALUES ($1)
    ON CONFLICT (one) DO UPDATE SET at = greatest(settled.at, excluded.at)
"""


class Settle:
    """The job. It compares the positions of the projection with the ends of its topics."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._looks = [CatchUp(database, settings.broker, DEMAND, topic) for topic in TOPICS]

    async def settle(self, run: JobRun) -> dict[str, object]:
        """Store the time before which everything is counted. While the projection is behind, it stays."""
        began, now = time.monotonic(), datetime.now(UTC)
        done = await asyncio.gather(*(look.caught_up(began, ()) for look in self._looks))
        if not all(done):
            return {"settled": False}
        async with run.unit() as unit:
            await unit.sql.execute(STORE, now)
        return {"settled": True}
