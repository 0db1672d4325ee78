"""Lanes that Kafka refuses are held back and tried again, while other lanes go on."""

import asyncio
from collections import defaultdict
from uuid import uuid4

import pytest
import toy
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition
from examples import placed
from hypothesis import given
from hypothesis import strategies as st
from on_kafka import all_published, eventually, firsts, log_of, publish, relay, running

from crossdock_chassis import Service
from crossdock_chassis.messaging import relay as relay_module
from crossdock_chassis.messaging.lanes import BACK_OFF_SECONDS, ROWS_AT_ONCE, Lanes
from crossdock_chassis.messaging.relay import _Leader
from crossdock_chassis.testing import Fresh
from crossdock_events import Message, TopicSpec
from crossdock_local.servers import Servers

KEYS = [f"key-{n}".encode() for n in range(10)]


async def mirror(service: Service, topic: str, numbers: range, padding: int = 0) -> None:
    """Append messages to the outbox, over ten keys."""
    async with service.database.unit() as unit:
        for number in numbers:
            unit.mirror(Message(topic, KEYS[number % len(KEYS)], f"{number} {'x' * padding}".encode(), {}))


async def numbers_of(service: Service, topic: str, partitions: int) -> dict[bytes, list[int]]:
    """The numbers of the messages on a topic by key, in the order of the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=service.settings.kafka, auto_offset_reset="earliest")
    await consumer.start()
    found: dict[bytes, list[int]] = defaultdict(list)
    try:
        tps = [TopicPartition(topic, n) for n in range(partitions)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            while await consumer.position(tp) < ends[tp]:
                for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, ()):
                    found[record.key or b""].append(int((record.value or b"").split()[0]))
        return found
    finally:
        await consumer.stop()


def first_occurrences(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def test_refused_messages_do_not_stop_other_topics(kafka_service: Service, servers: Servers) -> None:
    """2,600 messages are more than the relay reads at once. Once Kafka takes them, all arrive in order."""
    service, topic, count = kafka_service, f"refused-{uuid4().hex[:8]}", 2_600
    servers.topics.ensure([TopicSpec(topic, 2, {"max.message.bytes": "100"})])
    for start in range(0, count, 650):
        await mirror(service, topic, range(start, start + 650), padding=100)
    orders = [placed(f"PO-{n}") for n in range(50)]
    await publish(service, *((order, 1) for order in orders))

    async def only_refused() -> bool:
        return await depth(service) == count

    async with running(relay(service)):
        await eventually(only_refused)
        await publish(service, *((order, 2) for order in orders))
        await mirror(service, topic, range(count, count + 20), padding=100)

        async def again_only_refused() -> bool:
            return await depth(service) == count + 20

        await eventually(again_only_refused)
        await _allow(service, topic)
        await mirror(service, topic, range(count + 20, count + 40))  # Kafka would take them at once
        await eventually(lambda: all_published(service))
    log = await log_of(service, {order.order_id for order in orders})
    assert firsts(log) == {order.order_id: [1, 2] for order in orders}
    arrived = await numbers_of(service, topic, 2)
    assert {key: first_occurrences(numbers) for key, numbers in arrived.items()} == {
        key: list(range(position, count + 40, len(KEYS))) for position, key in enumerate(KEYS)
    }


async def _allow(service: Service, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=service.settings.kafka)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "1048576"})])
    finally:
        await admin.close()


async def test_message_for_a_missing_topic_does_not_stop_others(kafka_service: Service, servers: Servers) -> None:
    service, topic = kafka_service, f"missing-{uuid4().hex[:8]}"
    order = placed()
    async with running(relay(service)):
        await mirror(service, topic, range(1))
        for sequence in range(1, 21):
            await publish(service, (order, sequence))
            await asyncio.sleep(0)

        async def only_the_missing() -> bool:
            async with service.database.unit() as unit:
                return bool(await unit.sql.fetchval("SELECT sum(cardinality(ids)) FROM outbox_pending") == 1)

        await eventually(only_the_missing)
        await mirror(service, topic, range(1, 30))
        servers.topics.ensure([TopicSpec(topic, 3)])
        await eventually(lambda: all_published(service))
    assert firsts(await log_of(service, {order.order_id}))[order.order_id] == list(range(1, 21))
    arrived = await numbers_of(service, topic, 3)
    assert {key: first_occurrences(numbers) for key, numbers in arrived.items()} == {
        key: [position, position + 10, position + 20] for position, key in enumerate(KEYS)
    }


async def depth(service: Service) -> int:
    async with service.database.unit() as unit:
        return int(await unit.sql.fetchval("SELECT coalesce(sum(cardinality(ids)), 0) FROM outbox_pending"))


async def test_relay_that_stalled_after_a_read_sends_nothing_of_it(
    kafka_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease may be lost, and another relay may have sent the messages and later ones. It reads again first."""
    service, order = kafka_service, placed()
    depths: list[int] = []
    as_always = _Leader._attempt_due

    async def stalls_twice(self: _Leader) -> None:
        await as_always(self)
        depths.append(await depth(service))
        if len(depths) <= 2:
            self._verified -= 60

    monkeypatch.setattr(_Leader, "_attempt_due", stalls_twice)
    await publish(service, (order, 1))
    async with running(relay(service)):
        await eventually(lambda: all_published(service))
    assert depths[:3] == [1, 1, 1]
    assert firsts(await log_of(service, {order.order_id})) == {order.order_id: [1]}


async def test_attempt_sends_nothing_without_a_verified_lease(
    kafka_service: Service, servers: Servers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service, topic = kafka_service, f"missing-{uuid4().hex[:8]}"
    await mirror(service, topic, range(1))

    async def said(text: str) -> bool:
        return any(text in each for each in caplog.messages) or await all_published(service)

    async with running(relay(service)):
        await eventually(lambda: said(f"holds {topic} back"))
        monkeypatch.setattr(relay_module, "LEASE_SECONDS", -1.0)
        servers.topics.ensure([TopicSpec(topic, 1)])
        await eventually(lambda: said("the lease was not verified"))
        assert await depth(service) == 1
        monkeypatch.setattr(relay_module, "LEASE_SECONDS", 2.0)
        await eventually(lambda: all_published(service))
    assert await numbers_of(service, topic, 1) == {KEYS[0]: [0]}


async def test_failed_attempts_of_the_relay_are_no_progress(fresh: Fresh, caplog: pytest.LogCaptureFixture) -> None:
    service = await fresh(toy.build, toy.Settings)  # no broker listens at its address
    await publish(service, (placed(), 1))
    part = relay(service)
    before = part.progressed

    async def interrupted() -> bool:
        return sum("relay interrupted" in each for each in caplog.messages) >= 2

    async with running(part):
        await eventually(interrupted)
        assert part.progressed == before


def test_lane_is_tried_later_and_later_until_it_is_sent() -> None:
    lanes, now = Lanes(), 100.0
    lanes.hold(("a", 1), [7, 8], now)
    assert not lanes.due(now)
    waits = []
    for _ in range(6):
        wait = lanes.next_due(now)
        now += wait
        assert lanes.due(now) == {"a": {("a", 1): [7, 8]}}
        lanes.failed(("a", 1), now)
        waits.append(wait)
    assert tuple(round(each, 3) for each in waits) == (*BACK_OFF_SECONDS, BACK_OFF_SECONDS[-1])
    lanes.sent(("a", 1), [7])
    assert ("a", 1) in lanes and lanes.rows_after(0) == [8] and lanes.rows_after(8) == []
    lanes.sent(("a", 1), [8])
    assert ("a", 1) not in lanes and lanes.held == {}


def test_topic_has_one_attempt_at_a_time() -> None:
    lanes = Lanes()
    lanes.hold(("a", 1), [1], 0.0)
    lanes.hold(("b", 1), [2], 0.0)
    lanes.trying.add("a")
    assert lanes.due(10.0) == {"b": {("b", 1): [2]}}


def test_missing_topic_takes_over_its_lanes_in_their_order() -> None:
    lanes = Lanes()
    lanes.hold(("a", 1), [5, 3], 0.0)
    lanes.hold(("a", 2), [4], 0.0)
    lanes.hold(("b", 1), [1], 0.0)
    lanes.hold(("a", None), [9], 0.0)
    assert lanes.of("a", 1) == lanes.of("a", 7) == ("a", None)
    assert lanes.due(1.0)["a"] == {("a", None): [3, 4, 5, 9]}
    assert lanes.held == {"a": 1, "b": 1}
    lanes.sent(("a", 1), [5])  # the end of an attempt that began before
    assert lanes.rows_after(0) == [1, 3, 4, 5, 9]


@given(rows=st.lists(st.integers(1, 1000), min_size=1, max_size=80))
def test_oldest_rows_of_a_lane_are_tried_first(rows: list[int]) -> None:
    lanes = Lanes()
    for row in rows:
        lanes.hold(("a", 1), [row], 0.0)
    assert lanes.due(1.0)["a"]["a", 1] == sorted(set(rows))[:ROWS_AT_ONCE]
