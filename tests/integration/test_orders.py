"""Follow orders through HTTP, PostgreSQL, Kafka and back, as a partner and a subscriber see them."""

import asyncio
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from harness import INVENTORY, Harness, eventually, order

from crossdock_events import CATALOGUE, Envelope, Message
from crossdock_events.orders import OrderConfirmed, OrderEvent, OrderPlaced
from crossdock_events.reservations import StockReserved


def reference() -> str:
    return f"PO-{uuid4().hex[:12]}"


async def test_order_is_confirmed_and_an_outside_subscriber_sees_it(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    outside = AIOKafkaConsumer(OrderEvent.topic.name, bootstrap_servers=harness.stack.kafka, group_id=None)
    await outside.start()
    try:
        await outside.seek_to_end()
        async with harness.client() as client:
            placed = await harness.post(client, order(reference(), (item, 4)))
            heard = []
            async with asyncio.timeout(60):
                async for record in outside:
                    decoded = CATALOGUE.decode(
                        Message.from_record(record.topic, record.key, record.value, record.headers)
                    )
                    if isinstance(decoded, Envelope) and decoded.event.key == placed["id"]:
                        heard.append(decoded)
                    if heard and isinstance(heard[-1].event, OrderConfirmed):
                        break
            shown = await harness.until(client, placed["id"], "confirmed")
            timeline = (await client.get(placed["links"]["timeline"])).json()
    finally:
        await outside.stop()
    assert [type(each.event) for each in heard] == [OrderPlaced, OrderConfirmed]
    assert [each.sequence for each in heard] == [1, 2]
    assert (shown["total"], shown["version"], shown["waiting"]) == ("10.00", 2, None)
    assert [each["id"] for each in timeline["events"]] == [str(each.id) for each in heard]
    level = await harness.availability(item)
    assert (level["on_hand"], level["reserved"], level["available"]) == (10, 4, 6)


async def test_item_discontinued_after_placing_rejects_the_order(harness: Harness) -> None:
    """The API accepts the order, because order-service's worker is stopped and has not read the change."""
    (item,) = await harness.items(on_hand=10)
    worker = harness.stack.process("order-service.worker")
    worker.stop()
    try:
        async with harness.client(INVENTORY) as stock:
            answer = await stock.patch(f"/v1/items/{item}", json={"status": "discontinued"})
            assert answer.status_code == 200, answer.text
        async with harness.client() as client:
            placed = await harness.post(client, order(reference(), (item, 1)))
    finally:
        worker.start()
    await asyncio.to_thread(worker.wait_ready)
    async with harness.client() as client:
        shown = await harness.until(client, placed["id"], "rejected")
        assert shown["reason"] == "discontinued_item"

        async def refused() -> bool:
            answer = await client.post("/v1/orders:validate", json=order("probe", (item, 1)))
            return answer.status_code == 422

        await eventually(refused)
    assert (await harness.availability(item))["reserved"] == 0


async def test_order_for_an_item_registered_a_moment_ago_is_accepted(harness: Harness) -> None:
    async with harness.client() as client, harness.client(INVENTORY) as inventory:
        for _ in range(5):
            item = reference()
            answer = await inventory.post("/v1/items", json={"item_id": item, "unit_of_measure": "each"})
            assert answer.status_code == 201, answer.text
            await harness.post(client, order(reference(), (item, 1)))


async def test_backorder_shows_missing_units_and_a_receipt_releases_it(harness: Harness) -> None:
    item, scarce = await harness.items(2, on_hand=5)
    async with harness.client() as client:
        placed = await harness.post(client, order(reference(), (item, 1), (scarce, 9)))
        shown = await harness.until(client, placed["id"], "backordered")
        assert shown["waiting"]["for"] == "stock"
        assert shown["waiting"]["since"] and shown["waiting"]["until"]
        missing = {line["item_id"]: line["missing"] for line in shown["waiting"]["lines"]}
        assert missing[scarce] == 9
        listed = (await client.get("/v1/orders", params={"waiting_item": scarce})).json()
        assert [each["id"] for each in listed["items"]] == [placed["id"]]
        assert (await harness.availability(item))["reserved"] == 0

        await harness.receive({scarce: 3})
        await harness.adds_up()  # 8 units are not enough for an order of 9
        assert (await harness.get(client, placed["id"]))["status"] == "backordered"
        await harness.receive({scarce: 1}, "WEST")
        shown = await harness.until(client, placed["id"], "confirmed")
        assert shown["waiting"] is None
    level = await harness.availability(scarce)
    assert {each["location_id"]: each["reserved"] for each in level["locations"]} == {"EAST": 8, "WEST": 1}


async def test_a_partial_order_takes_what_there_is_and_then_the_rest(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=5)
    async with harness.client() as client:
        placed = await harness.post(client, order(reference(), (item, 9), partial=True))
        shown = await harness.until(client, placed["id"], "backordered")
        (line,) = shown["waiting"]["lines"]
        assert (line["requested"], line["reserved"], line["missing"]) == (9, 5, 4)
        await harness.receive({item: 4})
        await harness.until(client, placed["id"], "confirmed")
    held = [each.event for each in await harness.events(StockReserved, placed["id"])]
    totals = [sum(line.reserved for line in each.lines) for each in held if isinstance(each, StockReserved)]
    assert totals == [5, 9]


async def test_a_cancelled_order_gives_its_stock_to_the_next(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    async with harness.client() as client:
        first = await harness.post(client, order(reference(), (item, 7)))
        await harness.until(client, first["id"], "confirmed")
        urgent = await harness.post(client, order(reference(), (item, 6), priority=9))
        await harness.until(client, urgent["id"], "backordered")
        small = await harness.post(client, order(reference(), (item, 4), priority=1))
        await harness.until(client, small["id"], "backordered")
        answer = await client.post(f"/v1/orders/{first['id']}:cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        await harness.until(client, urgent["id"], "confirmed")
        await harness.until(client, small["id"], "confirmed")
    level = await harness.availability(item)
    assert (level["on_hand"], level["reserved"]) == (10, 10)
    await harness.adds_up()


async def test_confirmed_order_waits_again_if_stock_is_written_off(harness: Harness) -> None:
    item, other = await harness.items(2, on_hand=5)
    async with harness.client() as client:
        placed = await harness.post(client, order(reference(), (item, 4), (other, 1)))
        await harness.until(client, placed["id"], "confirmed")
        await harness.write_off(item, 2)
        shown = await harness.until(client, placed["id"], "backordered")
        assert {line["item_id"]: line["missing"] for line in shown["waiting"]["lines"]} == {item: 4, other: 1}
        await harness.adds_up()
        await harness.receive({item: 1})
        await harness.until(client, placed["id"], "confirmed")
        history = (await client.get(f"/v1/orders/{placed['id']}/timeline")).json()["events"]
    names = ["OrderPlaced", "OrderConfirmed", "OrderBackordered", "OrderConfirmed"]
    assert [each["type"].split(".")[1] for each in history] == names
    await harness.adds_up()


async def test_new_order_waits_its_turn_behind_an_unservable_backorder(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=3)
    async with harness.client() as client:
        urgent = await harness.post(client, order(reference(), (item, 6), priority=9))
        await harness.until(client, urgent["id"], "backordered")
        small = await harness.post(client, order(reference(), (item, 3), priority=1))
        await harness.until(client, small["id"], "confirmed")
        history = (await client.get(f"/v1/orders/{small['id']}/timeline")).json()["events"]
        assert [each["type"].split(".")[1] for each in history] == ["OrderPlaced", "OrderBackordered", "OrderConfirmed"]
        assert (await harness.get(client, urgent["id"]))["status"] == "backordered"


async def test_who_prefers_to_wait_is_answered_with_the_decision(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    async with harness.client() as client:
        answer = await client.post("/v1/orders", json=order(reference(), (item, 1)), headers={"Prefer": "wait=10"})
        assert answer.status_code == 201
        assert answer.headers["preference-applied"] == "wait=10"
        assert answer.json()["status"] == "confirmed"


async def test_a_retry_finds_the_first_answer_by_key_and_by_reference(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    body, key = order(reference(), (item, 1)), {"Idempotency-Key": uuid4().hex}
    async with harness.client() as client:
        answers = await asyncio.gather(*(client.post("/v1/orders", json=body, headers=key) for _ in range(8)))
        assert {each.status_code for each in answers} <= {201, 409}  # 409: another request with the same key is running
        receipts = {each.text for each in answers if each.status_code == 201}
        assert len(receipts) == 1
        again = await client.post("/v1/orders", json=body, headers=key)
        assert (again.status_code, again.headers["idempotent-replayed"], again.text) == (201, "true", receipts.pop())
        unkeyed = await client.post("/v1/orders", json=body)
        assert (unkeyed.status_code, unkeyed.json()["id"]) == (200, again.json()["id"])
        other = await client.post("/v1/orders", json=order(body["reference"], (item, 2)))
        assert (other.status_code, other.json()["type"]) == (409, "urn:crossdock:problem:duplicate-reference")
        reused = await client.post("/v1/orders", json=order(reference(), (item, 1)), headers=key)
        assert reused.status_code == 422
        await harness.until(client, again.json()["id"], "confirmed")
    assert (await harness.availability(item))["reserved"] == 1


async def test_partner_sees_only_its_own_orders_and_references(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=10)
    body = order(reference(), (item, 1))
    async with harness.client() as acme, harness.client(partner="globex") as globex:
        ours = await harness.post(acme, body)
        theirs = await harness.post(globex, body, "globex")
        assert ours["id"] != theirs["id"]
        for path in (f"/v1/orders/{ours['id']}", f"/v1/orders/{ours['id']}/timeline"):
            answer = await globex.get(path)
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:crossdock:problem:no-such-order")
        assert (await globex.post(f"/v1/orders/{ours['id']}:cancel")).status_code == 404
        listed = (await globex.get("/v1/orders", params={"reference": body["reference"]})).json()["items"]
        assert [each["id"] for each in listed] == [theirs["id"]]
        await harness.until(acme, ours["id"], "confirmed")


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "3", True, float("nan"), 1_000_001])
async def test_a_quantity_that_is_none_stores_nothing(harness: Harness, quantity: object) -> None:
    (item,) = await harness.items(on_hand=10)
    body = order(reference(), (item, 1))
    body["lines"][0]["quantity"] = quantity
    async with harness.client() as client:
        text = str(body).replace("'", '"').replace("True", "true").replace("nan", "NaN")
        answer = await client.post("/v1/orders", content=text, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        assert (await client.get("/v1/orders", params={"reference": body["reference"]})).json()["items"] == []
