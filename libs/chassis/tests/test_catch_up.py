"""The positions of a group are compared with the ends of the log, on real Kafka."""

import asyncio
import time
from uuid import uuid4

import pytest
import toy

from crossdock_chassis import Broker, CatchUp, Service
from crossdock_chassis.messaging import catch_up
from crossdock_chassis.messaging.clients import discard, start_producer
from crossdock_chassis.testing import Fresh
from crossdock_events import TopicSpec
from crossdock_local.servers import Servers

GROUP = "toy-service.items_marked.1"


@pytest.fixture
def topic(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(catch_up, "PUBLISHED_SECONDS", 0.0)
    name = f"test.catch-up.{uuid4().hex[:8]}"
    servers.topics.ensure([TopicSpec(name, 2)])
    return name


@pytest.fixture
async def service(fresh: Fresh, servers: Servers) -> Service:
    assert servers.bootstrap is not None
    return await fresh(toy.build, toy.Settings, kafka=servers.bootstrap)


async def send(service: Service, topic: str, records: int) -> None:
    producer = await start_producer(service.settings.broker, "test")
    for _ in range(records):
        await producer.send_and_wait(topic, b"x", partition=1)
    await discard(producer)


async def move(service: Service, topic: str, end: int) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO consumer_position VALUES ($1, $2, 1, $3) "
            "ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next = excluded.next",
            GROUP,
            topic,
            end,
        )


async def test_group_at_the_end_of_the_log_has_caught_up(service: Service, topic: str) -> None:
    watched = CatchUp(service.database, service.settings.broker, "items_marked", topic)
    assert await watched.caught_up(time.monotonic(), ())
    await send(service, topic, 3)
    since = time.monotonic()
    waiting = [asyncio.create_task(watched.caught_up(since, ())) for _ in range(10)]
    await move(service, topic, 2)
    assert not any(each.done() for each in waiting)
    await move(service, topic, 3)
    assert all(await asyncio.gather(*waiting))


async def test_group_that_stays_behind_has_not_caught_up(
    service: Service, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "LOOK_SECONDS", 1.0)
    await send(service, topic, 1)
    assert not await CatchUp(service.database, service.settings.broker, "items_marked", topic).caught_up(
        time.monotonic(), ()
    )


async def test_group_may_be_behind_if_kafka_does_not_answer(
    service: Service, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "LOOK_SECONDS", 0.5)
    away = CatchUp(service.database, Broker("127.0.0.1:1"), "items_marked", topic)
    assert not await away.caught_up(time.monotonic(), ())


async def test_earlier_comparison_serves_an_earlier_moment(
    service: Service, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, early = CatchUp(service.database, service.settings.broker, "items_marked", topic), time.monotonic()
    assert await watched.caught_up(time.monotonic(), ())
    await send(service, topic, 1)
    assert await watched.caught_up(early, ())
    monkeypatch.setattr(catch_up, "LOOK_SECONDS", 0.5)
    assert not await watched.caught_up(time.monotonic(), ())


async def test_parked_key_has_not_caught_up(service: Service, topic: str) -> None:
    watched = CatchUp(service.database, service.settings.broker, "items_marked", topic)
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO parked_key VALUES ($1, $2, $3)", GROUP, topic, b"k")
    assert await watched.caught_up(time.monotonic(), ["other"])
    assert not await watched.caught_up(time.monotonic(), ["k", "other"])
