"""Test dead letters: unreadable records are set aside, listed and resolved, while other events are handled."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
from harness import INVENTORY, ORDERS, Body, Harness, eventually, order

from crossdock_cli.verify.log import Place
from crossdock_events import Message
from crossdock_events.orders import OrderCancelled, OrderEvent
from crossdock_events.reservations import ReservationEvent

TOPIC = OrderEvent.topic.name


async def letter_at(client: httpx.AsyncClient, place: Place, state: str) -> Body:
    """Wait until the dead letter of the record is in this state, and return it."""

    async def there() -> Body | None:
        cursor: str | None = None
        while True:
            asked: dict[str, Any] = {"state": state, "limit": 200} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/dead-letters", params=asked)).json()
            for each in page["items"]:
                if (each["topic"], each["partition"], each["offset"]) == place:
                    found: Body = each
                    return found
            if (cursor := page["next"]) is None:
                return None

    return await eventually(there)


async def act(
    client: httpx.AsyncClient, letter: Body, action: str, dry_run: bool = False, **more: Any
) -> httpx.Response:
    return await client.post(
        f"/v1/dead-letters/{letter['id']}:{action}",
        json={"reason": "a test", **more},
        params={"dry_run": str(dry_run).lower()},
    )


async def test_poison_parks_its_key_and_other_orders_go_on(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=100)
    async with harness.client() as orders, harness.client(INVENTORY) as inventory:
        first = await harness.post(orders, order(f"PO-{uuid4().hex}", (item, 5)))
        await harness.until(orders, first["id"], "confirmed")
        key = first["id"].encode()
        headers = {"ce_specversion": b"1.0", "ce_type": OrderCancelled.ce_type.encode(), "ce_id": b"\xff\x00"}
        place = await harness.inject(Message(TOPIC, key, b"\x00 not json", headers), poison=True)
        nobody_s = await harness.inject(Message(TOPIC, None, b"\xde\xad", {}), poison=True)

        others = await asyncio.gather(*(harness.post(orders, order(f"PO-{uuid4().hex}", (item, 1))) for _ in range(30)))
        assert (await orders.post(f"/v1/orders/{first['id']}:cancel")).status_code == 200
        for each in others:
            await harness.until(orders, each["id"], "confirmed")

        poison = await letter_at(inventory, place, "poison")

        async def parked() -> bool:
            shown = (await inventory.get(f"/v1/dead-letters/{poison['id']}")).json()
            return bool(shown["parked_behind"] == 1)

        await eventually(parked)
        assert (await harness.availability(item))["reserved"] == 35  # the cancellation is parked behind the poison
        await harness.adds_up()

        mirror = f"{TOPIC}.inventory-service.dlq"
        shown = {
            dict(entry.headers)["crossdock_origin"]: entry for entry in (await harness.log(mirror)).records(mirror)
        }
        origin = shown[f"{place[0]}/{place[1]}/{place[2]}".encode()]
        assert (origin.key, origin.value) == (key, b"\x00 not json")

        assert (await act(inventory, poison, "redrive")).status_code == 409  # the record is still unreadable
        tried = await act(inventory, poison, "discard", dry_run=True)
        assert (tried.status_code, tried.json()["applied"], tried.json()["left"]) == (200, 1, 0)
        assert (await harness.availability(item))["reserved"] == 35
        done = await act(inventory, poison, "discard")
        assert done.json()["published"] == tried.json()["published"]
        assert (await harness.availability(item))["reserved"] == 30

        unkeyed = await letter_at(inventory, nobody_s, "poison")
        assert (await act(inventory, unkeyed, "discard")).json()["applied"] == 0
    await harness.adds_up()


async def test_what_was_sent_broken_can_be_mended_and_counts_once(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    async with harness.client() as orders, harness.client(INVENTORY) as inventory:
        placed = await harness.post(orders, order(f"PO-{uuid4().hex}", (item, 5)))
        await harness.until(orders, placed["id"], "confirmed")
        broken = Message(TOPIC, placed["id"].encode(), b"{", {"ce_specversion": b"1.0", "ce_type": b""})
        place = await harness.inject(broken, poison=True)
        assert (await orders.post(f"/v1/orders/{placed['id']}:cancel")).status_code == 200

        async def sent() -> bool:
            return len(await harness.events(OrderCancelled, placed["id"])) == 3

        await eventually(sent)
        (real,) = [each for each in await harness.events(OrderCancelled, placed["id"]) if each.sequence == 3]
        poison = await letter_at(inventory, place, "poison")

        async def parked() -> bool:
            shown = (await inventory.get(f"/v1/dead-letters/{poison['id']}")).json()
            return bool(shown["parked_behind"] == 1)

        await eventually(parked)
        mended = real.encode()
        headers = {name: value.decode() for name, value in mended.headers.items()}
        still = await act(inventory, poison, "resend", value="{}", headers=headers)
        assert still.status_code == 409, still.text
        done = await act(inventory, poison, "resend", value=mended.value.decode(), headers=headers)
        assert done.status_code == 200, done.text
        assert (done.json()["applied"], done.json()["left"]) == (2, 0)
        assert (await act(inventory, poison, "discard")).status_code == 409  # the dead letter is already resolved
    level = await harness.availability(item)
    assert (level["on_hand"], level["reserved"]) == (10, 0)
    await harness.adds_up()


async def test_answer_for_an_unknown_order_is_a_dead_letter(harness: Harness) -> None:
    unknown = str(uuid4())
    (item,) = await harness.items(on_hand=10)
    async with harness.client() as orders:
        placed = await harness.post(orders, order(f"PO-{uuid4().hex}", (item, 1)))
        await harness.until(orders, placed["id"], "confirmed")
        log = await harness.log(ReservationEvent.topic.name)
        (entry,) = log.by_key(ReservationEvent.topic.name)[placed["id"]]
        value = json.dumps(json.loads(entry.value) | {"order_id": unknown}).encode()
        headers = dict(entry.headers) | {"ce_id": str(uuid4()).encode(), "ce_subject": unknown.encode()}
        message = Message(ReservationEvent.topic.name, unknown.encode(), value, headers)
        place = await harness.inject(message, poison=True)
        poison = await letter_at(orders, place, "poison")
        assert poison["reason"].startswith("Unmatched")
        assert (await act(orders, poison, "redrive")).status_code == 409
        assert (await act(orders, poison, "discard")).status_code == 200
    await harness.adds_up()


async def test_dead_letters_are_for_operators_only(harness: Harness) -> None:
    for service in (ORDERS, INVENTORY):
        async with harness.client(service, scopes=("orders:read", "orders:write", "stock:write")) as client:
            assert (await client.get("/v1/dead-letters")).status_code == 403
            assert (await client.post("/v1/dead-letters/1:discard", json={"reason": "x"})).status_code == 403
