"""The log reads every topic of a real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
from records import ORDERS, garbage, record, rows

from analytics_service.log import keep, model
from analytics_service.service import Settings, build
from crossdock_chassis import Service
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging import log as log_module
from crossdock_chassis.messaging.log import LogReader
from crossdock_chassis.testing import Fresh
from crossdock_events import CATALOGUE, Message, TopicSpec
from crossdock_local.servers import Servers

PATIENCE = 60.0


@pytest.fixture
async def service(fresh: Fresh, servers: Servers) -> Service:
    assert servers.bootstrap is not None
    servers.topics.ensure([each.spec for each in CATALOGUE.topics()])
    return await fresh(build, Settings, kafka=servers.bootstrap)


@pytest.fixture
async def reading(service: Service) -> AsyncIterator[LogReader]:
    """Let a reader of a group of its own keep the log of the service."""
    assert service.log is not None
    reader = LogReader(service.database, service.settings.broker, f"t-{uuid4().hex[:8]}", service.log)
    stopping = asyncio.Event()
    task = asyncio.create_task(reader.run(stopping))
    yield reader
    stopping.set()
    await asyncio.wait_for(task, PATIENCE)


async def send(service: Service, *messages: Message) -> None:
    producer = await clients.start_producer(service.settings.broker, "test")
    try:
        for each in messages:
            await producer.send_and_wait(each.topic, each.value, key=each.key, headers=list(each.headers.items()))
    finally:
        await clients.discard(producer)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await look():
            await asyncio.sleep(0.05)


async def kept(service: Service, *messages: Message) -> bool:
    stored = [(row["topic"], row["key"], row["value"]) for row in await rows(service)]
    return all((each.topic, each.key, each.value) in stored for each in messages)


async def test_log_keeps_every_record_of_every_topic(
    service: Service, servers: Servers, reading: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = record(headers=dict(record().message.headers) | {"ce_type": b"crossdock.OrderPlaced.v99"}).message
    letters = Message(f"{ORDERS}.t-{uuid4().hex[:8]}.dlq", b"k", b"x", {})
    monkeypatch.setattr(log_module, "LOOK_SECONDS", 0.2)
    sent = [record().message, unknown, garbage(uuid4().bytes).message]
    sent += [Message(topic.name, b"k", uuid4().bytes, {}) for topic in CATALOGUE.topics()]
    await send(service, *sent)
    await eventually(lambda: kept(service, *sent))
    servers.topics.ensure([TopicSpec(letters.topic, 1)])
    await send(service, letters)
    await eventually(lambda: kept(service, letters))
    positions = [row["position"] for row in await rows(service)]
    assert positions == list(range(1, len(positions) + 1))


async def test_failing_handler_is_retried_and_nothing_is_lost(
    service: Service, reading: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0
    whole = model.facts_of

    def faulty(message: Message) -> object:
        nonlocal failures
        if failures < 5:
            failures += 1
            raise ZeroDivisionError
        return whole(message)

    monkeypatch.setattr(keep, "facts_of", faulty)
    sent = [record().message for _ in range(3)]
    await send(service, *sent)
    await eventually(lambda: kept(service, *sent))
    assert failures == 5
