"""Test repeated, reordered, unreadable and early deliveries, and many concurrent requests for one item."""

import asyncio
import json
import random
from uuid import uuid4

import httpx
from harness import INVENTORY, LOCATIONS, ORDERS, Body, Harness, eventually, order
from load import load

from crossdock_events import CATALOGUE, Message
from crossdock_events.orders import OrderEvent

TOPIC = OrderEvent.topic.name
RACERS = 32


def reference() -> str:
    return f"PO-{uuid4().hex[:12]}"


async def test_every_event_comes_again_and_backwards(harness: Harness) -> None:
    """Repeat events under load, so that repeats are between new events and some arrive before them."""
    topics = sorted(topic.name for topic in CATALOGUE.topics())
    async with load(harness, 320) as running:
        for moment in (80, 210):
            await running.until(moment)
            log = await harness.log(*topics)
            for topic in topics:
                recent = list(log.without(harness.injected).records(topic))[-215:]
                await harness.copy(recent[::-1])
        outcome = await running.end()
    assert not outcome.refused and not outcome.clashes
    log = await harness.log(*topics)
    for topic in topics:
        await harness.copy(list(log.without(harness.injected).records(topic))[-530:][::-1])
    await harness.adds_up()


async def test_a_cancel_that_comes_before_its_order_bars_it(harness: Harness) -> None:
    """The relay is paused, and the test writes a copy of the OrderCancelled event before OrderPlaced is sent."""
    (item,) = await harness.items(on_hand=10)
    relay = harness.stack.process(f"{ORDERS}.worker")
    await asyncio.to_thread(relay.stop)
    try:
        async with harness.client() as client, harness.database(ORDERS) as look, harness.database(INVENTORY) as stock:
            placed = await harness.post(client, order(reference(), (item, 4)))
            assert (await client.post(f"/v1/orders/{placed['id']}:cancel")).status_code == 200
            rows = await look.fetch(
                "SELECT topic, key, value, headers::text FROM outbox WHERE key = $1 ORDER BY id", placed["id"].encode()
            )
            topic, key, value, headers = rows[1]
            encoded = {name: text.encode() for name, text in json.loads(headers).items()}
            assert encoded["ce_type"] == b"crossdock.OrderCancelled.v1"
            await harness.inject(Message(topic, key, value, encoded))

            async def barred() -> bool:
                found = await stock.fetchval("SELECT status FROM reservations WHERE order_id = $1", placed["id"])
                return bool(found == "released")

            await eventually(barred)
    finally:
        await asyncio.to_thread(relay.start)
    await asyncio.to_thread(relay.wait_ready)
    async with harness.client() as client:
        await harness.adds_up()
        assert (await harness.get(client, placed["id"]))["status"] == "cancelled"
    async with harness.client(INVENTORY) as client:
        moved = (await client.get("/v1/ledger", params={"reference": placed["id"]})).json()["items"]
        assert moved == []
    assert (await harness.availability(item))["reserved"] == 0


async def test_poison_is_discarded_and_failed_orders_are_redriven(harness: Harness) -> None:
    """Unreadable records are discarded. Orders of one item fail in inventory until the fault is fixed, then succeed."""
    (cursed,) = await harness.items(on_hand=1_000)
    async with harness.database(INVENTORY) as fault:
        name = f"cursed_{uuid4().hex[:8]}"
        await fault.execute(
            f"ALTER TABLE reservation_lines ADD CONSTRAINT {name} CHECK (item_id <> '{cursed}') NOT VALID"
        )
        try:
            async with load(harness, 320) as running, harness.client() as client:
                unlucky: list[Body] = []
                for moment in (55, 135, 210):
                    await running.until(moment)
                    for _ in range(5):
                        unlucky.append(await harness.post(client, order(reference(), (cursed, 1))))
                        await harness.inject(Message(TOPIC, None, random.randbytes(50), {}), poison=True)
                for each in unlucky[::2]:
                    assert (await client.post(f"/v1/orders/{each['id']}:cancel")).status_code == 200
                outcome = await running.end()
        finally:
            await fault.execute(f"ALTER TABLE reservation_lines DROP CONSTRAINT {name}")
    assert not outcome.refused and not outcome.clashes

    waiting = {each["id"] for each in unlucky}
    async with harness.client(INVENTORY) as operator, harness.client() as client:

        async def all_poison() -> bool:
            letters = await _poison(operator)
            return waiting <= {each["key"] for each in letters} and sum(each["key"] is None for each in letters) >= 15

        await eventually(all_poison)
        for each in await _poison(operator):
            action = "redrive" if each["key"] in waiting else "discard"
            answer = await operator.post(f"/v1/dead-letters/{each['id']}:{action}", json={"reason": "mended"})
            assert answer.status_code == 200, answer.text
            assert answer.json()["left"] == 0
            if each["key"] in waiting:
                place = each["topic"], each["partition"], each["offset"]
                harness.poison.add(place)
        for position, each in enumerate(unlucky):
            await harness.until(client, each["id"], "confirmed" if position % 2 else "cancelled")
    assert (await harness.availability(cursed))["reserved"] == len(unlucky) // 2
    await harness.adds_up()


async def _poison(operator: httpx.AsyncClient) -> list[Body]:
    answer = await operator.get("/v1/dead-letters", params={"state": "poison", "limit": 200})
    assert answer.status_code == 200, answer.text
    letters: list[Body] = answer.json()["items"]
    return letters


async def test_many_race_for_one_scarce_item(harness: Harness) -> None:
    """Whole and partial orders, repeated items, cancellations and receipts at both locations run concurrently."""
    scarce, *others = await harness.items(4, on_hand=40)
    arrived = 0

    async def racer(number: int) -> None:
        chance = random.Random(number)
        async with harness.client(partner=f"racer-{number}") as client:
            for _ in range(12):
                lines = [(scarce, chance.randint(1, 3)) for _ in range(chance.choice([1, 1, 2, 3]))]
                lines += [(item, 1) for item in others if chance.random() < 0.3]
                chance.shuffle(lines)
                body = order(reference(), *lines, priority=chance.randint(0, 9), partial=chance.random() < 0.3)
                placed = await harness.post(client, body, f"racer-{number}")
                if chance.random() < 0.3:
                    answer = await client.post(f"/v1/orders/{placed['id']}:cancel")
                    assert answer.status_code == 200, answer.text

    async def receiver() -> None:
        nonlocal arrived
        for number in range(10):
            await harness.receive({scarce: 7}, LOCATIONS[number % 2])
            arrived += 7

    await asyncio.gather(*(racer(number) for number in range(RACERS)), receiver())
    await harness.adds_up()
    level = await harness.availability(scarce)
    assert level["on_hand"] == 40 + arrived
    assert 0 <= level["reserved"] <= level["on_hand"]
    async with harness.client(INVENTORY) as client:
        overdue = (await client.get("/v1/backorders/overdue")).json()
        assert (overdue["queued_items"], overdue["orders"]) == (0, [])
        assert (await client.get("/v1/reconciliation")).json()["outcome"] == "agrees"
