"""The relay sends events to a real broker: each once or more, and those of a key in their order."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.partitioner import DefaultPartitioner
from examples import placed
from hypothesis import given
from hypothesis import strategies as st
from on_kafka import all_published, eventually, firsts, log_of, publish, relay, running

from crossdock_chassis import Service
from crossdock_chassis.messaging.clients import partition_of
from crossdock_chassis.messaging.relay import _Leader
from crossdock_local.servers import Servers


@pytest.fixture
def service(kafka_service: Service) -> Service:
    return kafka_service


async def test_the_relay_sends_each_key_in_order(service: Service) -> None:
    orders = [placed(f"PO-{n}") for n in range(200)]
    async with running(relay(service)):
        for sequence in range(1, 6):
            await publish(service, *((order, sequence) for order in orders))
        await eventually(lambda: all_published(service))
    log = await log_of(service, {order.order_id for order in orders})
    assert len(log) == 1000
    assert all(sequences == [1, 2, 3, 4, 5] for sequences in firsts(log).values())


async def test_second_relay_takes_over_when_the_first_loses_its_lease(service: Service) -> None:
    order = placed()
    admin = await asyncpg.connect(service.database.dsn)
    async with running(relay(service), relay(service)):
        for sequence in range(1, 30):
            await publish(service, (order, sequence))
            if sequence % 10 == 0:
                await eventually(lambda: all_published(service))
                held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
                holders = await admin.fetch(
                    f"{held} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                assert len(holders) == 1
                await admin.execute("SELECT pg_terminate_backend($1)", holders[0]["pid"])
        await eventually(lambda: all_published(service))
    await admin.close()
    log = await log_of(service, {order.order_id})
    assert firsts(log)[order.order_id] == list(range(1, 30))


async def test_a_loss_that_is_told_late_does_not_end_the_relay(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement may fail before the connection-lost callback, which then comes while the client is stopped."""
    order = placed()
    as_always = _Leader.publish

    async def cut_off(self: _Leader, stopping: asyncio.Event) -> None:
        monkeypatch.setattr(_Leader, "publish", as_always)
        self._connection.terminate()
        raise ConnectionResetError

    monkeypatch.setattr(_Leader, "publish", cut_off)
    async with running(relay(service)):
        await publish(service, (order, 1))
        await eventually(lambda: all_published(service))
    assert firsts(await log_of(service, {order.order_id}))[order.order_id] == [1]


async def test_broker_killed_under_load_loses_and_reorders_nothing(service: Service, servers: Servers) -> None:
    orders = [placed(f"PO-{n}") for n in range(50)]
    async with running(relay(service)):
        for sequence in range(1, 31):
            await publish(service, *((order, sequence) for order in orders))
            if sequence == 10:
                servers.kafka.kill()
            if sequence == 20:
                await asyncio.to_thread(servers.kafka.start)
                await asyncio.to_thread(servers.kafka.wait_ready)
        await eventually(lambda: all_published(service))
    log = await log_of(service, {order.order_id for order in orders})
    assert firsts(log) == {order.order_id: list(range(1, 31)) for order in orders}


async def test_a_late_commit_is_not_overtaken(service: Service) -> None:
    """The unit draws its ids, then takes 3 s to commit; the next event of its key waits for its lock."""
    order, drawn = placed(uuid4().hex[:8]), asyncio.Event()

    async def late() -> None:
        async with service.database.unit() as unit:
            await unit.sql.execute("INSERT INTO mark (name, times) VALUES ($1, 0)", f"{order.reference}-lock")
            unit.publish(order, sequence=1, cause=None)
            await unit.flush()
            unit.published.clear()
            drawn.set()
            await asyncio.sleep(3)

    async def next_of_the_key() -> None:
        async with service.database.unit() as unit:
            await unit.sql.execute(
                "INSERT INTO mark (name, times) VALUES ($1, 0) ON CONFLICT (name) DO UPDATE SET times = 0",
                f"{order.reference}-lock",
            )
            unit.publish(order, sequence=2, cause=None)

    async with running(relay(service)):
        committing = asyncio.create_task(late())
        await drawn.wait()
        following = asyncio.create_task(next_of_the_key())
        while not following.done():
            await publish(service, (placed(uuid4().hex[:8]), 1))
            await asyncio.sleep(0.05)
        await asyncio.gather(committing, following)
        await eventually(lambda: all_published(service))
    log = await log_of(service, {order.order_id})
    assert [envelope.sequence for envelope in log] == [1, 2]


@given(key=st.binary(max_size=80), partitions=st.integers(1, 50))
def test_a_key_lies_where_every_other_client_puts_it(key: bytes, partitions: int) -> None:
    everywhere = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everywhere, everywhere)
