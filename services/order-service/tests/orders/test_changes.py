"""`GET /v1/orders/changes`: each change of the partner's orders arrives, in commit order."""

import asyncio
import random
from typing import Any
from uuid import UUID

from shop import Shop

from crossdock_chassis import Unit
from crossdock_chassis.testing import restored

Seen = list[tuple[str, str]]


async def poll(shop: Shop, since: str | None, seen: Seen, **query: Any) -> str:
    """Read pages until one is empty. Return the last cursor."""
    while True:
        answer = await shop.client.get("/v1/orders/changes", params=query | ({"cursor": since} if since else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        since = page["next"]
        if not page["items"]:
            return str(since)
        seen += [(each["id"], each["status"]) for each in page["items"]]


async def test_feed_has_each_change_of_the_partners_own_orders(shop: Shop) -> None:
    first, second = await shop.placed(), await shop.placed()
    await shop.other.post("/v1/orders", json=shop.body())
    seen: Seen = []
    since = await poll(shop, None, seen, limit=1)
    assert seen == [(str(first), "placed"), (str(second), "placed")]
    await shop.hears(shop.reserved(first))
    await shop.hears(shop.backordered(second))
    await shop.client.post(f"/v1/orders/{first}:cancel")
    seen.clear()
    after = await poll(shop, since, seen, limit=1)
    assert seen == [(str(first), "cancelled"), (str(second), "backordered"), (str(first), "cancelled")]
    assert await poll(shop, after, seen) == after
    assert len(seen) == 3


async def test_order_that_changed_twice_is_once_in_a_page(shop: Shop) -> None:
    order = await shop.placed()
    await shop.hears(shop.reserved(order))
    page = (await shop.client.get("/v1/orders/changes")).json()
    assert [(each["id"], each["version"]) for each in page["items"]] == [(str(order), 2)]


async def test_answer_that_changes_nothing_is_no_change(shop: Shop) -> None:
    order = await shop.placed()
    await shop.hears(shop.reserved(order))
    since = await poll(shop, None, [])
    await shop.hears(shop.reserved(order))
    seen: Seen = []
    assert await poll(shop, since, seen) == since and not seen


async def test_poller_misses_no_change_while_units_commit_late(shop: Shop) -> None:
    """A trigger delays each unit at its end by a random time, so that units commit in another order than they began."""
    async with shop.service.database.unit() as unit:
        await slow_down(unit)
    orders: list[UUID] = []
    done = asyncio.Event()

    async def write() -> None:
        for _ in range(4):
            order = await shop.placed()
            orders.append(order)
            await shop.hears(shop.reserved(order))

    async def watch() -> Seen:
        seen: Seen = []
        since: str | None = None
        while not done.is_set():
            since = await poll(shop, since, seen, limit=random.randint(1, 5))
        await poll(shop, since, seen)
        return seen

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(write() for _ in range(6)))
    done.set()
    seen = await watcher
    assert {(str(order), "confirmed") for order in orders} <= set(seen)


async def test_cursor_of_another_feed_or_generation_is_refused(shop: Shop) -> None:
    await shop.placed()
    for wrong in ("nonsense", (await shop.client.get("/v1/orders", params={"limit": 1})).json()["next"] or "bm8"):
        assert (await shop.client.get("/v1/orders/changes", params={"cursor": wrong})).status_code == 400
    since = await poll(shop, None, [])
    await restored(shop.service)
    old = await shop.client.get("/v1/orders/changes", params={"cursor": since})
    assert (old.status_code, old.json()["type"]) == (410, "urn:crossdock:problem:cursor-expired")
    seen: Seen = []
    await poll(shop, None, seen)
    assert len(seen) == 1


async def slow_down(unit: Unit) -> None:
    await unit.sql.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(random() * 0.05); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON order_changes
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
        """
    )
