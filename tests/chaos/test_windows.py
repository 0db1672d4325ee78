"""Crash at the instants when events could be lost or repeated. A lock or SIGSTOP holds each instant open."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import httpx
from aiokafka.admin import AIOKafkaAdminClient
from harness import INVENTORY, ORDERS, Harness, eventually, order

from crossdock_events.orders import OrderEvent, OrderPlaced
from crossdock_local.servers.postgres import database_in

TOPIC = OrderEvent.topic.name


def reference() -> str:
    return f"PO-{uuid4().hex[:12]}"


@asynccontextmanager
async def administrator(harness: Harness, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_in(harness.stack.servers.databases.admin_dsn, database))
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def restart(harness: Harness, name: str) -> None:
    handle = harness.stack.process(name)
    await asyncio.to_thread(handle.kill)
    await asyncio.to_thread(handle.start)
    await asyncio.to_thread(handle.wait_ready)


async def waits_for_a_lock(harness: Harness, database: str, statement: str) -> None:
    """Wait until a session of the database waits for a lock in this statement."""
    async with administrator(harness, database) as look:

        async def blocked() -> bool:
            found = await look.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = $1 AND wait_event_type = 'Lock' AND query ILIKE $2",
                database,
                f"%{statement}%",
            )
            return bool(found)

        await eventually(blocked)


async def test_the_relay_dies_after_it_sent_and_before_it_marked(harness: Harness) -> None:
    """The relay sends the events again, and consumers count them once."""
    (item,) = await harness.items(on_hand=100)
    worker = harness.stack.process(f"{ORDERS}.worker")
    worker.kill(signal.SIGSTOP)
    async with harness.client() as client, administrator(harness, "order_service") as admin:
        placed = [await harness.post(client, order(reference(), (item, 1))) for _ in range(20)]
        async with admin.transaction():
            held = await admin.fetch("SELECT id, ids FROM outbox_pending FOR UPDATE")
            assert sum(len(row["ids"]) for row in held) == 20
            worker.kill(signal.SIGCONT)
            await waits_for_a_lock(harness, "order_service", "DELETE FROM outbox_pending")

            async def sent() -> bool:
                keys = (await harness.log(TOPIC)).by_key(TOPIC)
                return all(each["id"] in keys for each in placed)

            await eventually(sent)
            await asyncio.to_thread(worker.kill)
            # Without this, its session would still mark the events after the lock is released.
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'order-service-relay'"
            )
        left = await admin.fetchval(
            "SELECT count(*) FROM outbox_pending WHERE id = ANY($1)", [row["id"] for row in held]
        )
        assert left == len(held)
        await restart(harness, f"{ORDERS}.worker")
        for each in placed:
            await harness.until(client, each["id"], "confirmed")
    copies = [entry.id for entry in (await harness.log(TOPIC)).records(TOPIC)]
    first = (await harness.events(OrderPlaced, placed[0]["id"]))[0]
    assert copies.count(str(first.id)) == 2
    assert (await harness.availability(item))["reserved"] == 20
    await harness.adds_up()


async def test_the_consumer_dies_in_the_middle_of_its_transaction(harness: Harness) -> None:
    """The whole batch is rolled back: position, inbox, effects and outbox."""
    (item,) = await harness.items(on_hand=100)
    async with harness.client() as client, administrator(harness, "inventory_service") as admin:
        async with admin.transaction():
            await admin.execute("SELECT FROM stock_heads WHERE item_id = $1 FOR UPDATE", item)
            placed = [await harness.post(client, order(reference(), (item, 1))) for _ in range(20)]
            await waits_for_a_lock(harness, "inventory_service", "FROM stock_heads")
            await asyncio.to_thread(harness.stack.process(f"{INVENTORY}.worker").kill)
        await restart(harness, f"{INVENTORY}.worker")
        for each in placed:
            await harness.until(client, each["id"], "confirmed")
    assert (await harness.availability(item))["reserved"] == 20
    await harness.adds_up()


async def test_the_consumer_dies_between_its_commit_and_its_offsets(harness: Harness) -> None:
    """The offsets in Kafka are behind the positions in the database after the crash."""
    (item,) = await harness.items(on_hand=1_000)
    for _ in range(10):
        if await _died_between(harness, item):
            break
    else:
        raise AssertionError("the offsets were committed before the crash in all ten tries")
    await restart(harness, f"{INVENTORY}.worker")
    await harness.adds_up()


async def _died_between(harness: Harness, item: str) -> bool:
    """Kill the worker after a commit. Return whether Kafka's offsets are now behind the group's positions."""
    await restart(harness, f"{INVENTORY}.worker")
    async with harness.client() as client, administrator(harness, "inventory_service") as admin:
        before = (await harness.availability(item))["reserved"]
        placed = [await harness.post(client, order(reference(), (item, 1))) for _ in range(5)]
        ids = [each["id"] for each in placed]

        async def committed() -> bool:
            found = await admin.fetchval("SELECT count(*) FROM reservations WHERE order_id = ANY($1::uuid[])", ids)
            return bool(found == len(ids))

        await eventually(committed)
        await asyncio.to_thread(harness.stack.process(f"{INVENTORY}.worker").kill)
        assert (await harness.availability(item))["reserved"] == before + 5
        rows = await admin.fetch("SELECT partition, next FROM consumer_position WHERE topic = $1", TOPIC)
    kafka = AIOKafkaAdminClient(bootstrap_servers=harness.stack.kafka)
    await kafka.start()
    try:
        offsets = await kafka.list_consumer_group_offsets(INVENTORY)
    finally:
        await kafka.close()
    known = {tp.partition: each.offset for tp, each in offsets.items() if tp.topic == TOPIC}
    return any(row["next"] > known.get(row["partition"], 0) for row in rows)


async def test_the_api_dies_in_the_middle_of_its_call(harness: Harness) -> None:
    """One call claims the key, stores the order and commits. It waits for a lock while its process is killed."""
    (item,) = await harness.items(on_hand=10)
    body, key = order(reference(), (item, 1)), {"Idempotency-Key": uuid4().hex}
    async with harness.client() as client, administrator(harness, "order_service") as admin:
        async with admin.transaction():
            await admin.execute("LOCK TABLE orders IN SHARE MODE")
            sent = asyncio.create_task(client.post("/v1/orders", json=body, headers=key))
            await waits_for_a_lock(harness, "order_service", "orders_insert")
            await asyncio.to_thread(harness.stack.process(f"{ORDERS}.api").kill)
            await asyncio.wait([sent], timeout=60)
            assert isinstance(sent.exception(), httpx.TransportError)
        await restart(harness, f"{ORDERS}.api")
    async with harness.client() as client:
        placed = await harness.post(client, body, **key)
        assert (await harness.post(client, body, **key))["id"] == placed["id"]
        await harness.until(client, placed["id"], "confirmed")
    await harness.adds_up()


async def test_the_api_dies_after_it_committed_and_before_it_answered(harness: Harness) -> None:
    """A client that prefers to wait for a decision holds the API between commit and answer."""
    (item,) = await harness.items(on_hand=10)
    body, key = order(reference(), (item, 1)), uuid4().hex
    harness.stack.process(f"{INVENTORY}.worker").kill(signal.SIGSTOP)
    try:
        async with harness.client() as client, harness.database(ORDERS) as look:
            waiting = asyncio.create_task(
                client.post("/v1/orders", json=body, headers={"Prefer": "wait=10", "Idempotency-Key": key})
            )

            async def committed() -> str | None:
                found: str | None = await look.fetchval(
                    "SELECT id::text FROM orders WHERE reference = $1", body["reference"]
                )
                return found

            order_id = await eventually(committed)
            assert not waiting.done()
            await restart(harness, f"{ORDERS}.api")
            await asyncio.wait([waiting], timeout=60)
            assert isinstance(waiting.exception(), httpx.TransportError)
    finally:
        harness.stack.process(f"{INVENTORY}.worker").kill(signal.SIGCONT)
    async with harness.client() as client:
        again = await harness.post(client, body, **{"Idempotency-Key": key})
        assert again["id"] == order_id
        await harness.until(client, order_id, "confirmed")
    await harness.adds_up()


async def test_the_connection_breaks_during_commit(harness: Harness) -> None:
    """COMMIT waits for a missing standby until its session ends. The order is stored, but its client got no answer."""
    (item,) = await harness.items(on_hand=10)
    body, key = order(reference(), (item, 1)), {"Idempotency-Key": uuid4().hex}
    async with harness.client() as client, administrator(harness, "order_service") as admin:
        await admin.execute("SET synchronous_commit = off")
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await admin.execute("SELECT pg_reload_conf()")
        try:
            asked = asyncio.create_task(client.post("/v1/orders", json=body, headers=key))

            async def committing() -> int | None:
                found: int | None = await admin.fetchval(
                    "SELECT pid FROM pg_stat_activity WHERE datname = 'order_service' AND wait_event = 'SyncRep' "
                    "AND application_name = 'order-service' LIMIT 1"
                )
                return found

            while not asked.done():
                await admin.execute("SELECT pg_terminate_backend($1)", await eventually(committing))
                await asyncio.wait([asked], timeout=0.2)
        finally:
            await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await admin.execute("SELECT pg_reload_conf()")
        answer = await asked
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "urn:crossdock:problem:outcome-unknown"
        assert answer.headers["retry-after"]
        stored = await admin.fetchval("SELECT id::text FROM orders WHERE reference = $1", body["reference"])
        assert stored is not None
        again = await harness.post(client, body, **key)
        assert again["id"] == stored
        await harness.until(client, stored, "confirmed")
    await harness.adds_up()
