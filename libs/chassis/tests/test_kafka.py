"""Facts out and facts in through a real broker."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import toy
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.structs import TopicPartition
from examples import cancelled, placed
from on_kafka import (
    ORDERS,
    PARTITIONS,
    all_published,
    at_end,
    eventually,
    from_now_on,
    has,
    mine,
    own_partition,
    publish,
    ready,
    relay,
    running,
    stopped,
)

from crossdock_chassis import Service, Unit, on
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging import consumer as consumer_module
from crossdock_chassis.messaging import relay as relay_module
from crossdock_chassis.messaging.clients import check_topics, discard, start_consumer
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.positions import POSITIONS
from crossdock_chassis.observability import metrics
from crossdock_chassis.testing import envelope_of
from crossdock_chassis.unfit import Unfit
from crossdock_events import Envelope, Message, TopicSpec
from crossdock_events.orders import OrderEvent
from crossdock_events.reservations import StockReleased
from crossdock_local.servers import Servers


@pytest.fixture
def service(kafka_service: Service) -> Service:
    return kafka_service


@pytest.mark.parametrize("outage", [2, 15])
async def test_a_group_is_back_after_a_joint_outage(
    service: Service, postgres: Servers, servers: Servers, outage: float
) -> None:
    """PostgreSQL and Kafka are killed together and stay away; 15 s is longer than the group's session."""
    tag = uuid4().hex[:8]
    (consumer,) = service.consumers()
    async with running(relay(service), consumer):
        await eventually(lambda: ready(consumer))
        await publish(service, *((placed(f"{tag}-{n}"), 1) for n in range(20)))
        await eventually(lambda: has(service, tag, 1))
        postgres.postgres.kill()
        servers.kafka.kill()
        await asyncio.sleep(outage)
        for server in (postgres.postgres, servers.kafka):
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.wait_ready)
        async with asyncio.timeout(30):
            await eventually(lambda: _has_all(service, tag, 20))
    assert set((await mine(service, tag)).values()) == {1}


async def _has_all(service: Service, tag: str, count: int) -> bool:
    try:
        return await has(service, tag, count)
    except Exception as error:
        if not is_transient(error):
            raise
        return False


async def test_events_take_effect_once_while_members_join_and_leave(service: Service) -> None:
    tag = uuid4().hex[:8]
    orders = [placed(f"{tag}-{n}") for n in range(600)]

    async def handled(count: int) -> bool:
        return len(await mine(service, tag)) >= count

    first, second, third = service.consumers() + service.consumers() + service.consumers()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(relay(service), first))
        for position, order in enumerate(orders):
            await publish(service, (order, 1))
            if position == 100:
                await stack.enter_async_context(running(second))
            if position == 300:
                async with running(third):  # comes, and leaves in mid-stream
                    await publish(service, *((cancelled(each), 2) for each in orders[:300]))
                    await eventually(lambda: handled(310))
        await eventually(lambda: handled(900))
        await eventually(lambda: at_end(service, first))
    assert set((await mine(service, tag)).values()) == {1}


class SlowToLeave(ConsumerRebalanceListener):
    """Somebody else's member, which keeps the whole group waiting at every rebalance."""

    def __init__(self) -> None:
        self.has: set[TopicPartition] = set()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        if self.has:
            await asyncio.sleep(1.5)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.has = set(assigned)


async def test_slow_rebalance_leaves_a_member_only_its_partitions(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member handles only these partitions, reports only their lag, and keeps running."""
    monkeypatch.setattr(consumer_module, "REPORT_SECONDS", 0.02)
    (consumer,) = service.consumers()
    topics = consumer.subscription.topics
    everything = {TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)}
    listeners = [SlowToLeave(), SlowToLeave()]

    def told() -> set[TopicPartition]:
        (metric,) = metrics.LAG_MESSAGES.collect()
        labels = [each.labels for each in metric.samples if each.labels["group"] == service.name]
        return {TopicPartition(each["topic"], int(each["partition"])) for each in labels}

    async def shared(among: Sequence[SlowToLeave]) -> bool:
        theirs = [each.has for each in among]
        return all(theirs) and told() == everything - set().union(*theirs)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(consumer))
        await eventually(lambda: shared([]))
        for count, listener in enumerate(listeners, 1):
            other = await start_consumer(
                service.settings.broker, service.name, client_id="slow", topics=topics, listener=listener
            )
            stack.push_async_callback(discard, other)
            await eventually(partial(shared, listeners[:count]))
            assert consumer._next.keys() == told()


async def test_a_member_whose_position_moved_drops_its_batch(service: Service) -> None:
    """The zombie: paused while another member handled the record that it still holds."""
    tag = uuid4().hex[:8]
    (consumer,) = service.consumers()
    order = placed(f"{tag}-handled-elsewhere")
    partition = own_partition(order.order_id)
    async with running(relay(service), consumer):
        await eventually(lambda: ready(consumer))
        await eventually(lambda: at_end(service, consumer))
        async with service.database.unit() as unit:
            await unit.sql.execute("UPDATE consumer_position SET next = next + 1 WHERE partition = $1", partition)
        await publish(service, (order, 1))
        await eventually(lambda: all_published(service))
        await publish(service, (placed(f"{tag}-next", order.order_id), 2))
        await eventually(lambda: has(service, tag, 1))
    assert await mine(service, tag) == {f"{tag}-next": 1}


async def test_position_behind_passed_records_is_stored(service: Service) -> None:
    """Records without a reaction take no unit each. A restart does not begin before them, and the next unit fits."""
    narrow = replace(service, reactions=service.reactions[:1])
    (consumer,) = narrow.consumers()
    order = placed(tag := uuid4().hex[:8])
    async with running(relay(narrow), consumer):
        await eventually(lambda: at_end(narrow, consumer))
        units = metrics.OPTIMISTIC.labels(narrow.name, "done")
        before = units._value.get()
        for sequence in range(1, 6):
            await publish(narrow, (cancelled(order), sequence))
            await eventually(lambda: all_published(narrow))
        await eventually(lambda: at_end(narrow, consumer))
        assert units._value.get() == before
        async with narrow.database.unit() as unit:
            rows = await unit.sql.fetch(POSITIONS, narrow.name)
        assert {TopicPartition(row["topic"], row["partition"]): row["next"] for row in rows} == consumer._next
        await publish(narrow, (order, 6))
        await eventually(lambda: has(narrow, tag, 1))


async def test_long_empty_fetch_delays_neither_a_member_nor_an_event(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker answers the requests of a connection in turn, so a member asks for offsets before it fetches."""
    monkeypatch.setattr(clients, "FETCH_WAIT_MS", 60_000)
    position = Consumer._position
    paused: list[bool] = []

    async def after_the_client(self: Consumer, client: AIOKafkaConsumer, assigned: Collection[TopicPartition]) -> None:
        for tp in assigned:
            await client.position(tp)  # from now on the client would fetch
        paused.append(client.paused() == set(assigned))
        await position(self, client, assigned)

    monkeypatch.setattr(Consumer, "_position", after_the_client)
    tag = uuid4().hex[:8]
    async with running(relay(service), await from_now_on(service)):
        await publish(service, (placed(tag), 1))
        await eventually(lambda: has(service, tag, 1))
    assert paused == [True]


async def test_idle_parts_sleep_until_a_record_or_the_stop(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an assignment, an event nor its report waits for a look. The end of the worker interrupts the wait."""
    monkeypatch.setattr(consumer_module, "IDLE_SECONDS", 15.0)
    monkeypatch.setattr(relay_module, "IDLE_SECONDS", 3_600.0)
    getmany, waits = AIOKafkaConsumer.getmany, list[int]()

    def counted(self: AIOKafkaConsumer, *, timeout_ms: int, max_records: int) -> Any:
        waits.append(timeout_ms)
        return getmany(self, timeout_ms=timeout_ms, max_records=max_records)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", counted)
    (consumer,) = service.consumers()

    async def rests() -> bool:
        return waits[-1:] == [15_000]

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(relay(service), consumer))
        await eventually(lambda: at_end(service, consumer))
        before = len(waits)  # other tests have written to these topics
        async with asyncio.timeout(12):
            for sequence in (1, 2):
                await eventually(rests)
                await publish(service, (placed(f"{service.name}-{sequence}"), sequence))
                await eventually(partial(has, service, service.name, sequence))
                await eventually(lambda: at_end(service, consumer))
            await eventually(rests)
            await stack.aclose()
    assert len(waits) - before < 20


async def test_a_newer_version_stops_its_partition_and_no_other(service: Service) -> None:
    tag = uuid4().hex[:8]
    orders = [placed(f"{tag}-{n}") for n in range(40)]
    blocked = orders[0]
    newer = envelope_of(blocked).encode()
    consumer = await from_now_on(service)
    async with service.database.unit() as unit:
        unit.mirror(
            Message(newer.topic, newer.key, newer.value, {**newer.headers, "ce_type": b"crossdock.OrderPlaced.v9"})
        )
    async with running(relay(service), consumer):
        await eventually(lambda: all_published(service))
        await publish(service, *((order, 2) for order in orders))
        await eventually(lambda: stopped(consumer))
        elsewhere = {o.reference for o in orders if own_partition(o.order_id) != own_partition(blocked.order_id)}
        await eventually(lambda: has(service, tag, len(elsewhere)))
    assert set(await mine(service, tag)) == elsewhere


async def test_events_before_a_newer_version_in_a_fetch_are_handled(service: Service) -> None:
    tag = uuid4().hex[:8]
    order = placed(tag)
    newer = envelope_of(order).encode()
    consumer = await from_now_on(service)
    async with service.database.unit() as unit:
        unit.publish(order, sequence=1, cause=None)
        unit.mirror(
            Message(newer.topic, newer.key, newer.value, {**newer.headers, "ce_type": b"crossdock.OrderPlaced.v9"})
        )
    async with running(relay(service)):
        await eventually(lambda: all_published(service))
    async with running(consumer):
        await eventually(lambda: stopped(consumer))
    assert await mine(service, tag) == {tag: 1}


async def test_failed_attempts_of_a_consumer_are_no_progress(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LOCK_SECONDS", 0.05)
    tag = uuid4().hex[:8]
    consumer = await from_now_on(service)

    async def failed(times: int) -> bool:
        return len([each for each in caplog.messages if f"{service.name} retries" in each]) >= times

    admin = await asyncpg.connect(service.database.dsn)
    async with running(relay(service), consumer):
        await eventually(lambda: ready(consumer))
        await admin.execute("BEGIN; SELECT FROM consumer_position FOR UPDATE")
        await publish(service, (placed(tag), 1))
        await eventually(lambda: failed(1))
        before = consumer.progressed
        await eventually(lambda: failed(3))
        assert consumer.progressed == before
        await admin.execute("ROLLBACK")
        await eventually(lambda: has(service, tag, 1))
        assert consumer.progressed > before
    await admin.close()


async def test_a_group_that_starts_now_handles_no_history(service: Service, servers: Servers) -> None:
    """The database was away when the process began, and the process stops for a while. Then the group gets a topic."""
    tag = uuid4().hex[:8]
    service = replace(service, reactions_start="now")

    async def sent(*references: str) -> None:
        await publish(service, *((placed(f"{tag}-{each}"), 1) for each in references))
        await eventually(lambda: all_published(service))

    async def mark_released(unit: Unit, batch: Sequence[Envelope[StockReleased]]) -> None:
        await unit.sql.execute(toy.MARK, [names.get(each.event.order_id, "of another test") for each in batch])

    history, new = (StockReleased(order_id=uuid4(), reason="cancelled", lines=()) for _ in range(2))
    names = {history.order_id: f"{tag}-history", new.order_id: f"{tag}-new-topic"}
    servers.topics.ensure([StockReleased.topic.spec])
    async with running(relay(service)):
        await sent("history")
        (began, other) = service.consumers() + service.consumers()
        await sent("early")
        async with running(began):
            await eventually(lambda: has(service, tag, 1))
        await sent("stopped")
        async with running(other, *service.consumers()):
            await sent("late")
            await eventually(lambda: has(service, tag, 3))
        await publish(service, (history, 1))
        await eventually(lambda: all_published(service))
        wider = replace(service, reactions=[*service.reactions, on(StockReleased, mark_released)])
        (consumer,) = wider.consumers()
        await publish(service, (new, 1), (placed(f"{tag}-old-topic"), 1))
        async with running(consumer):
            await eventually(lambda: has(service, tag, 5))
    assert await mine(service, tag) == dict.fromkeys(
        (f"{tag}-{name}" for name in ("early", "stopped", "late", "new-topic", "old-topic")), 1
    )


async def test_reactions_without_a_stated_start_are_refused(service: Service) -> None:
    with pytest.raises(TypeError, match="state reactions_start"):
        replace(service, reactions_start=None)


async def test_partition_without_a_position_stops_alone(service: Service) -> None:
    (consumer,) = service.consumers()
    async with running(consumer):
        await eventually(lambda: ready(consumer))
    async with service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM consumer_position WHERE partition = 2")
    (again,) = service.consumers()
    async with running(again):
        await eventually(lambda: stopped(again))
        assert [tp.partition for tp in again._stops.partitions] == [2]
        assert {tp.partition for tp in again._next} == set(range(PARTITIONS)) - {2}


async def test_a_missing_topic_is_named_at_start(service: Service) -> None:
    with pytest.raises(Unfit, match=r"has no topic crossdock\.nowhere\.v1: create it, then start again"):
        await check_topics(service.settings.broker, [OrderEvent.topic.spec, TopicSpec("crossdock.nowhere.v1", 12)])


async def test_topic_with_too_few_partitions_is_named_at_start(service: Service) -> None:
    await check_topics(service.settings.broker, [TopicSpec(ORDERS, PARTITIONS)])
    with pytest.raises(Unfit, match=rf"too few partitions of the topic {ORDERS} \({PARTITIONS} of 13\)"):
        await check_topics(service.settings.broker, [TopicSpec(ORDERS, 13)])
