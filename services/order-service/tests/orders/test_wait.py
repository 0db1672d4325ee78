"""`Prefer: wait=N`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from shop import Shop

from order_service.orders.wait import Waiters

WAIT = {"prefer": "wait=9"}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def the_order(shop: Shop, reference: str = "PO-1") -> UUID:
    async def there() -> bool:
        return bool((await shop.client.get("/v1/orders", params={"reference": reference})).json()["items"])

    await until(there)
    return UUID((await shop.client.get("/v1/orders", params={"reference": reference})).json()["items"][0]["id"])


async def test_waiting_post_returns_when_the_order_is_decided(shop: Shop) -> None:
    posting = asyncio.create_task(shop.client.post("/v1/orders", json=shop.body(), headers=WAIT))
    await shop.hears(shop.reserved(await the_order(shop)))
    answer = await posting
    assert (answer.status_code, answer.json()["status"]) == (201, "confirmed")
    assert answer.headers["preference-applied"] == "wait=9"
    assert answer.headers["etag"] == '"2"'


async def test_waiting_post_returns_the_current_state_at_timeout(shop: Shop) -> None:
    answer = await shop.client.post("/v1/orders", json=shop.body(), headers={"prefer": "wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (201, "placed")
    assert answer.json()["waiting"]["for"] == "answer"


async def test_post_of_a_decided_order_does_not_wait(shop: Shop) -> None:
    await shop.hears(shop.reserved(await shop.placed("PO-1")))
    answer = await asyncio.wait_for(shop.client.post("/v1/orders", json=shop.body(), headers=WAIT), 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "confirmed")


class Counting(Waiters):
    looks = 0

    async def _look(self, order_ids: list[UUID]) -> list[UUID]:
        self.looks += 1
        return await super()._look(order_ids)


def watcher_of(waiters: Waiters) -> asyncio.Task[None]:
    assert waiters._watcher is not None
    return waiters._watcher


async def test_thousand_waiters_share_one_query(shop: Shop) -> None:
    waiters = Counting(shop.service.database)
    order_ids = [await shop.placed() for _ in range(3)]
    waiting = [asyncio.create_task(waiters.decided(order_ids[i % 3], 60)) for i in range(1000)]
    began = time.monotonic()
    await shop.hears(*(shop.reserved(order_id) for order_id in order_ids))
    assert await asyncio.gather(*waiting) == [True] * 1000
    assert waiters.looks <= 2 + (time.monotonic() - began) / 0.02
    assert not waiters._waiting
    await watcher_of(waiters)
    looks = waiters.looks
    assert await waiters.decided(order_ids[0], 5) is True
    await watcher_of(waiters)
    assert waiters.looks == looks + 1


async def test_cancelled_waiter_is_forgotten(shop: Shop) -> None:
    waiters = Waiters(shop.service.database)
    order_id = await shop.placed()
    waiting = asyncio.create_task(waiters.decided(order_id, 60))
    stays = asyncio.create_task(waiters.decided(order_id, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    await shop.hears(shop.reserved(order_id))
    assert await stays is True
    assert not waiters._waiting


async def test_watcher_stops_after_the_last_timeout(shop: Shop) -> None:
    waiters = Waiters(shop.service.database)
    assert await waiters.decided(await shop.placed(), 0.05) is False
    assert not waiters._waiting
    await asyncio.wait_for(watcher_of(waiters), 10)


async def test_failed_query_is_retried(shop: Shop) -> None:
    class Stumbling(Counting):
        async def _look(self, order_ids: list[UUID]) -> list[UUID]:
            if not self.looks:
                self.looks += 1
                raise ConnectionError("away")
            return await super()._look(order_ids)

    waiters = Stumbling(shop.service.database)
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id))
    assert await waiters.decided(order_id, 30) is True
