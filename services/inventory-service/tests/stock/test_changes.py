"""`GET /v1/ledger/changes`: each movement arrives once, in commit order."""

import asyncio
import random
from typing import Any

import httpx
from warehouse import Warehouse


async def poll(client: httpx.AsyncClient, since: str | None, seen: list[int], **query: Any) -> str:
    """Read pages until one is empty. Return the last cursor."""
    while True:
        answer = await client.get("/v1/ledger/changes", params=query | ({"cursor": since} if since else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        since = page["next"]
        if not page["items"]:
            return str(since)
        seen += [each["id"] for each in page["items"]]


async def test_poller_gets_each_movement_once_while_units_commit_late(
    warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    items = [f"i{n}" for n in range(8)]
    await warehouse.open(*items)
    async with warehouse.database.unit() as unit:
        await unit.sql.execute(
            """
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(random() * 0.05); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON movements
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
            """
        )
    done = asyncio.Event()

    async def watch() -> list[int]:
        seen: list[int] = []
        since: str | None = None
        while not done.is_set():
            since = await poll(client, since, seen, limit=random.randint(1, 5))
        await poll(client, since, seen)
        return seen

    async def write(item: str) -> None:
        for _ in range(4):
            await warehouse.receive_all([(item, 1), (item, 2)])

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*map(write, items))
    done.set()
    seen = await watcher
    stored = [row["id"] for row in await warehouse.fetch("SELECT id FROM movements")]
    assert len(stored) == 64 and sorted(seen) == sorted(stored)


async def test_feed_and_list_agree(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    for quantity in (1, 2, 3):
        await warehouse.receive("a", quantity)
    page = (await client.get("/v1/ledger/changes", params={"limit": 2})).json()
    assert [each["on_hand"] for each in page["items"]] == [1, 2]
    newest = (await client.get("/v1/ledger", params={"limit": 2})).json()
    assert [each["on_hand"] for each in newest["items"]] == [3, 2]
    oldest = (await client.get("/v1/ledger", params={"limit": 2, "cursor": newest["next"]})).json()
    assert ([each["on_hand"] for each in oldest["items"]], oldest["next"]) == ([1], None)
    assert page["items"][1] == newest["items"][1]
