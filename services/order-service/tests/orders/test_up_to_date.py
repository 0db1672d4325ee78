"""An item that was registered a moment ago is never refused for ever."""

import asyncio
import json

import httpx
from shop import Shop

from crossdock_events.items import ItemEvent

GROUP = "order-service.known_items.1"
TOPIC = ItemEvent.topic.name


async def reads(shop: Shop, end: int) -> None:
    """Set the position of the known items, as the consumer does after it has read up to `end`."""
    async with shop.service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO consumer_position (consumer_group, topic, partition, next) VALUES ($1, $2, 0, $3) "
            "ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next = excluded.next",
            GROUP,
            TOPIC,
            end,
        )


def kind(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def test_unknown_item_is_retryable_while_items_are_behind(shop: Shop, log_ends: dict[int, int]) -> None:
    log_ends[0] = 8
    await reads(shop, 7)
    order = shop.body(items=["SKU-1", "SKU-9"])
    for path in ("/v1/orders", "/v1/orders:validate"):
        answer = await shop.client.post(path, json=order)
        assert kind(answer) == (503, "items-behind")
        assert answer.headers["retry-after"] == "1"
        assert [each["pointer"] for each in answer.json()["errors"]] == ["/lines/1/item_id"]
    await reads(shop, 8)
    assert kind(await shop.client.post("/v1/orders", json=order)) == (422, "unknown-items")
    assert await shop.count("orders") == 0


async def test_order_waits_until_its_new_item_is_known(shop: Shop, log_ends: dict[int, int]) -> None:
    log_ends[0] = 8
    orders = [
        asyncio.create_task(shop.client.post("/v1/orders", json=shop.body(f"PO-{n}", items=["SKU-9"])))
        for n in range(20)
    ]
    await asyncio.sleep(0)
    await shop.knows("SKU-9")
    await reads(shop, 8)
    assert {answer.status_code for answer in await asyncio.gather(*orders)} == {201}


async def test_reactivated_item_is_retryable_while_items_are_behind(shop: Shop, log_ends: dict[int, int]) -> None:
    await shop.discontinues("SKU-2")
    log_ends[0] = 3
    assert kind(await shop.client.post("/v1/orders", json=shop.body())) == (503, "items-behind")


async def test_item_with_a_parked_event_is_retryable(shop: Shop) -> None:
    async with shop.service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO parked_key (consumer_group, topic, key) VALUES ($1, $2, $3)", GROUP, TOPIC, b"SKU-9"
        )
    assert kind(await shop.client.post("/v1/orders", json=shop.body(items=["SKU-9"]))) == (503, "items-behind")
    assert kind(await shop.client.post("/v1/orders", json=shop.body(items=["SKU-8"]))) == (422, "unknown-items")


async def test_known_items_are_never_compared_with_the_log(shop: Shop, log_ends: dict[int, int]) -> None:
    log_ends[0] = 8
    assert (await shop.client.post("/v1/orders", json=shop.body())).status_code == 201


async def test_batch_lines_with_new_items_fail_until_items_are_known(shop: Shop, log_ends: dict[int, int]) -> None:
    bodies = [shop.body("PO-1"), shop.body("PO-2", items=["SKU-9"]), shop.body("PO-3")]
    content = "\n".join(json.dumps(body) for body in bodies)

    async def outcomes() -> list[str]:
        answer = await shop.client.post(
            "/v1/orders:batch", content=content, headers={"content-type": "application/x-ndjson"}
        )
        return [json.loads(line)["outcome"] for line in answer.text.splitlines()]

    log_ends[0] = 8
    assert await outcomes() == ["created", "failed", "created"]
    await reads(shop, 8)
    assert await outcomes() == ["existing", "invalid", "existing"]
    await shop.knows("SKU-9")
    assert await outcomes() == ["existing", "created", "existing"]
