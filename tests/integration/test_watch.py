"""Operators watch: a posted order is on the stream at once, and projections are rebuilt under traffic and a kill."""

import asyncio
import json
import signal
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer
from harness import ANALYTICS, INVENTORY, Body, Harness, eventually, order

PROJECTIONS = ("orders_now", "levels_now")


async def test_posted_order_is_on_the_stream(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=5)
    seen: list[str] = []

    async def watch(client: httpx.AsyncClient, begun: asyncio.Event) -> None:
        async with client.stream("GET", "/v1/stream", params={"text": item, "topic": "crossdock.orders.v1"}) as answer:
            async for line in answer.aiter_lines():
                begun.set()
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:])["type"])

    async with harness.client(ANALYTICS) as watching, harness.client() as client:
        begun = asyncio.Event()
        task = asyncio.create_task(watch(watching, begun))
        await begun.wait()
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))

        async def arrived() -> bool:
            return "crossdock.OrderPlaced.v1" in seen

        await eventually(arrived)
        task.cancel()

        async def shown() -> bool:
            listed = (await watching.get("/v1/orders", params={"partner": "acme", "limit": 5})).json()["items"]
            return any(each["id"] == placed["id"] and each["status"] == "confirmed" for each in listed)

        await eventually(shown)


async def test_diagnosis_follows_an_order_and_a_dead_worker(harness: Harness) -> None:
    """It names the order's place in the queue, then the worker that does not run, then that nothing is missing."""
    (scarce, plenty) = await harness.items(2)
    await harness.receive({plenty: 5})
    worker = harness.stack.process(f"{INVENTORY}.worker")
    async with harness.client() as client, harness.client(ANALYTICS) as watching:

        async def explained(placed: Body, what: str, why: str | None) -> Body:
            async def found() -> Body | None:
                answer = await watching.get(f"/v1/orders/{placed['id']}/diagnosis")
                assert answer.status_code == 200, answer.text
                shown: Body = answer.json()
                return shown if (shown["what"]["code"], (shown["why"] or {}).get("code")) == (what, why) else None

            return await eventually(found)

        first = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (scarce, 3)))
        await explained(first, "waits_for_stock", "first_in_queue")
        second = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (scarce, 2)))
        shown = await explained(second, "waits_for_stock", "orders_ahead")
        (line,) = shown["lines"]
        assert (line["item_id"], line["missing"], line["orders_ahead"], line["units_ahead"]) == (scarce, 2, 1, 3)
        assert [each["code"] for each in shown["actions"]] == ["receive", "cancel"]
        assert shown["next"]["at"] is not None

        worker.kill(signal.SIGKILL)
        stuck = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (plenty, 1)))
        shown = await explained(stuck, "awaiting_answer", "worker_not_running")
        assert shown["actions"][0]["code"] == "start_worker"
        worker.start()
        await explained(stuck, "confirmed", None)


async def test_lag_of_a_dead_worker_and_of_a_stopped_subscriber_grows(harness: Harness) -> None:
    """Kafka is asked, not the consumers. A group without a member is shown with what it has not read."""
    (item,) = await harness.items(on_hand=50)
    worker, erp = harness.stack.process(f"{INVENTORY}.worker"), f"erp-{uuid4().hex[:8]}"
    subscriber = AIOKafkaConsumer(
        "crossdock.orders.v1", bootstrap_servers=harness.stack.kafka, group_id=erp, auto_offset_reset="earliest"
    )
    async with harness.client() as client, harness.client(ANALYTICS) as watching:

        async def until(group: str, status: str, lag: int) -> None:
            async def found() -> bool:
                answer = await watching.get(f"/v1/consumers/{group}")
                shown = answer.json()
                return answer.status_code == 200 and shown["status"] == status and (shown["lag"] or 0) >= lag

            await eventually(found)

        await subscriber.start()
        await subscriber.getone()
        await subscriber.commit()
        await until(erp, "active", 0)
        await subscriber.stop()
        worker.kill(signal.SIGKILL)
        placed = [await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1))) for _ in range(5)]
        await until(erp, "empty", 5)
        await until(INVENTORY, "empty", 5)
        worker.start()
        for each in placed:
            await harness.until(client, each["id"], "confirmed")
        await until(INVENTORY, "active", 0)


async def test_projections_are_rebuilt_under_traffic_and_a_kill(harness: Harness) -> None:
    """Readers see no order less meanwhile, and the state is the fold of the topics afterwards."""
    (item,) = await harness.items(on_hand=100)
    worker = harness.stack.process(f"{ANALYTICS}.worker")
    stopping = False
    counts: list[int] = []

    async def traffic(client: httpx.AsyncClient) -> None:
        while not stopping and len(counts) < 1_000:
            await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))

    async def read() -> None:
        async with harness.database(ANALYTICS) as sql:
            while not stopping:
                counts.append(await sql.fetchval("SELECT count(*) FROM orders_now"))
                await asyncio.sleep(0.05)

    async def generations(client: httpx.AsyncClient) -> dict[str, list[tuple[int, str]]]:
        items = (await client.get("/v1/projections")).json()["items"]
        return {each["name"]: [(one["generation"], one["state"]) for one in each["generations"]] for each in items}

    async with harness.client() as client, harness.client(ANALYTICS) as watching:
        before = await generations(watching)
        tasks = [asyncio.create_task(traffic(client)), asyncio.create_task(read())]
        for name in PROJECTIONS:
            answer = await watching.post(f"/v1/projections/{name}:rebuild")
            assert answer.status_code == 202, answer.text
        worker.kill(signal.SIGKILL)
        worker.start()
        await asyncio.to_thread(worker.wait_ready)

        async def switched() -> bool:
            after = await generations(watching)
            return all(
                len(after[name]) == 1 and after[name][0][1] == "current" and after[name] != before[name]
                for name in PROJECTIONS
            )

        await eventually(switched, 180)
        stopping = True
        await asyncio.gather(*tasks)
    assert counts == sorted(counts)
    await harness.adds_up()
