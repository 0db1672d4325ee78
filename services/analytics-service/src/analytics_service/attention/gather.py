"""Gather the facts: from the projections, from each service over HTTP, and from Kafka, all side by side."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from pydantic import BaseModel
from sqlalchemy import RowMapping, text

from analytics_service.asking import NoAnswer, Services
from analytics_service.attention.model import (
    ANSWER_SECONDS,
    Attention,
    Checked,
    Facts,
    Failures,
    ItemWaits,
    Operations,
    ServiceFacts,
    Stops,
    Waiting,
    rows_of,
)
from crossdock_chassis import Database

PARTS: Final[Mapping[str, str]] = {
    "operations": "/v1/operations",
    "dead-letters": "/v1/dead-letters/causes",
    "stopped": "/v1/stopped",
}
"""What each service is asked for."""
MOST: Final = 100
"""Reasons of dead letters, and stops, that are shown of a service."""
ITEMS: Final = 100
NEWEST: Final = 20
"""Of the items, so many are those that began to lack last. Otherwise old backorders would hide each new one."""
ORDERS: Final = 10_000
"""The oldest orders that wait are counted, at most so many."""

# The sums are of the orders, not of their lines: an order that waits for two items counts for both.
BACKORDERS: Final = text(
    """
    WITH waiting AS (
        SELECT order_id, since, currency, total FROM orders_now WHERE status = 'backordered'
        ORDER BY placed_at, order_id LIMIT :orders
    ), lacking AS (
        SELECT item_id, order_id, since, currency, total, sum(backordered) AS units
        FROM waiting JOIN waiting_lines USING (order_id) GROUP BY item_id, order_id, since, currency, total
    ), priced AS (
        SELECT item_id, currency, count(*) AS orders, sum(units) AS units, min(since) AS since,
               sum(total::numeric) AS amount
        FROM lacking GROUP BY item_id, currency
    ), items AS (
        SELECT item_id AS item, sum(orders)::bigint AS orders, sum(units)::bigint AS units, min(since) AS since,
               CASE WHEN bool_and(currency IS NOT NULL)
                    THEN json_object_agg(currency, amount::text) FILTER (WHERE currency IS NOT NULL) END AS amounts,
               (SELECT count(*) FROM waiting) AS counted,
               row_number() OVER (ORDER BY min(since), item_id) AS oldest,
               row_number() OVER (ORDER BY min(since) DESC, item_id DESC) AS newest
        FROM priced GROUP BY item_id
    )
    SELECT item, orders, units, since, amounts, counted FROM items
    WHERE oldest <= :oldest OR newest <= :newest ORDER BY since, item
    """
)
UNANSWERED: Final = text(
    """
    WITH waiting AS (
        SELECT placed_at, currency, total FROM orders_now
        WHERE status = 'placed' AND placed_at < now() - :seconds * interval '1 second'
        ORDER BY placed_at, order_id LIMIT :orders
    ), priced AS (
        SELECT currency, count(*) AS orders, min(placed_at) AS since, sum(total::numeric) AS amount
        FROM waiting GROUP BY currency
    )
    SELECT now() AS at, coalesce(sum(orders), 0)::bigint AS orders, min(since) AS since,
           CASE WHEN bool_and(currency IS NOT NULL)
                THEN json_object_agg(currency, amount::text) FILTER (WHERE currency IS NOT NULL) END AS amounts
    FROM priced
    """
)

T = TypeVar("T", bound=BaseModel)


class Broker:
    """Whether Kafka answers. A process asks at most once in `FRESH_SECONDS`, however many pages are open."""

    FRESH_SECONDS: Final = 2.0

    def __init__(self, trouble: Callable[[], Awaitable[str | None]]) -> None:
        self._trouble, self._lock, self._asked = trouble, asyncio.Lock(), float("-inf")
        self.away: str | None = None
        # This process has first seen at this time that Kafka does not answer.
        self.since: datetime | None = None

    async def look(self) -> None:
        async with self._lock:
            if time.monotonic() - self._asked < self.FRESH_SECONDS:
                return
            self.away = await self._trouble()
            self.since = None if self.away is None else self.since or datetime.now(UTC)
            self._asked = time.monotonic()


@dataclass(frozen=True, slots=True)
class Gatherer:
    """All that the facts come from."""

    database: Database
    services: Services
    broker: Broker

    async def attention(self, token: str) -> Attention:
        """Return what needs attention. `token` is the caller's, with which the services are asked."""
        (at, backorders, unanswered), services, _ = await asyncio.gather(
            self._orders(),
            asyncio.gather(*(self._service(name, token) for name in self.services.names)),
            self.broker.look(),
        )
        counted = not backorders or backorders[0]["counted"] < ORDERS
        facts = Facts(
            at=at,
            services=services,
            backorders=[
                ItemWaits(each["orders"], each["since"], each["amounts"], each["item"], each["units"])
                for each in backorders
            ],
            all_counted=counted,
            all_items=len(backorders) < ITEMS,
            unanswered=Waiting(unanswered["orders"], unanswered["since"], unanswered["amounts"])
            if unanswered["orders"]
            else None,
            broker_away=self.broker.away,
            broker_away_since=self.broker.since,
        )
        checked = [Checked(what=what, at=at, answered=True) for what in ("backorders", "orders")]
        checked.append(Checked(what="broker", at=at, answered=self.broker.away is None))
        for service in services:
            checked += [
                Checked(what=f"{service.name}/{part}", at=at, answered=part not in service.silent) for part in PARTS
            ]
        return Attention(rows=rows_of(facts), checked=checked, at=at)

    async def _orders(self) -> tuple[datetime, Sequence[RowMapping], RowMapping]:
        async with self.database.reading() as session:
            bounds = {"orders": ORDERS, "oldest": ITEMS - NEWEST, "newest": NEWEST}
            backorders = (await session.execute(BACKORDERS, bounds)).mappings().all()
            found = await session.execute(UNANSWERED, {"orders": ORDERS, "seconds": ANSWER_SECONDS})
            unanswered = found.mappings().one()
        return unanswered["at"], backorders, unanswered

    async def _service(self, name: str, token: str) -> ServiceFacts:
        silent: dict[str, str] = {}

        async def ask(part: str, answer: type[T], **query: int) -> T | None:
            try:
                return await self.services.ask(name, PARTS[part], answer, token=token, query=query)
            except NoAnswer as error:
                silent[part] = error.reason
                return None

        operations, failures, stops = await asyncio.gather(
            ask("operations", Operations), ask("dead-letters", Failures, limit=MOST), ask("stopped", Stops, limit=MOST)
        )
        return ServiceFacts(name, operations, failures, stops, silent)
