"""Build all Kafka clients, because aiokafka's defaults (`acks=1`, auto-commit) would lose or repeat records."""

import asyncio
import struct
from collections.abc import Awaitable, Collection, Mapping
from contextlib import suppress
from ssl import SSLCertVerificationError, SSLError
from traceback import walk_tb
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.unit import TRANSACTION_LIMIT_SECONDS
from crossdock_chassis.deadlines import abandon, within
from crossdock_chassis.unfit import Unfit
from crossdock_events import TopicSpec

KAFKA_TROUBLE = (KafkaError, OSError, TimeoutError)
REFUSED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
"""Kafka's access control lists forbid a request."""
BATCH_BYTES = 950_000
FETCH_WAIT_MS = 1_000
"""How long the broker waits for records before it answers an empty fetch. A record is answered at once. Other requests
on the connection wait behind the fetch, so this also bounds how long a consumer takes to change its positions."""
OLDEST, FETCH, OLDEST_FETCH = "3.1", 1, 13
"""The oldest Kafka, and its newest version of the request Fetch. A broker states versions of requests, not its own."""
STOP_SECONDS = 5.0
PART_SECONDS = 1.0

T = TypeVar("T")


class TopicsMissing(Exception):
    """A topic does not exist, or this user may not see it."""


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Java's clients and aiokafka choose (murmur2), in half of aiokafka's time."""
    length = len(key)
    hashed = 0x9747B28C ^ length
    for word in struct.unpack_from(f"<{length >> 2}I", key):
        word = word * 0x5BD1E995 & 0xFFFFFFFF
        hashed = (hashed * 0x5BD1E995 ^ (word ^ word >> 24) * 0x5BD1E995) & 0xFFFFFFFF
    if rest := length & 3:
        hashed = (hashed ^ int.from_bytes(key[length - rest :], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    hashed = (hashed ^ hashed >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return ((hashed ^ hashed >> 15) & 0x7FFFFFFF) % partitions


async def start_producer(broker: Broker, client_id: str) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        **broker.options,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        request_timeout_ms=5_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
    )
    await _started(producer)
    return producer


async def start_consumer(
    broker: Broker, group: str | None, *, client_id: str, topics: Collection[str] = (), listener: Any = None
) -> AIOKafkaConsumer:
    """Start a consumer without auto-commit.

    A rebalance waits for twice the longest transaction, so that no member gets a partition while a leaving member still
    locks its rows. `listener.client` is set before the first assignment.
    """
    consumer = AIOKafkaConsumer(
        **broker.options,
        group_id=group,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        rebalance_timeout_ms=2 * TRANSACTION_LIMIT_SECONDS * 1000,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_000,
        max_poll_interval_ms=600_000,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        consumer_timeout_ms=FETCH_WAIT_MS,
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
    )
    if topics:
        if listener is not None:
            listener.client = consumer
        consumer.subscribe(topics=sorted(topics), listener=listener)
    await _started(consumer)
    return consumer


async def _whole(starting: Awaitable[T]) -> T:
    """Return the result of a client's start. If it is cancelled, close its first connection too.

    aiokafka keeps that connection in a variable of `AIOKafkaClient.bootstrap` alone until it knows the cluster.
    """
    try:
        return await starting
    except asyncio.CancelledError as error:
        for frame, _ in walk_tb(error.__traceback__):
            if (connection := frame.f_locals.get("bootstrap_conn")) is not None:
                connection.close()
        raise


async def _started(client: Any) -> None:
    try:
        await within(15, _whole(client.start()))
    except BaseException:
        await discard(client)
        raise


async def discard(client: Any) -> None:
    """Stop a client within a bounded time, also if its broker is away.

    aiokafka's own `stop` waits for ever without the broker. In that case cancel the client's tasks and close its
    connections. A coordination task that continues would join the group again and take partitions without reading them.
    """
    with suppress(Exception):
        await within(STOP_SECONDS, client.stop())
        return
    parts = [
        part for name in ("_sender", "_fetcher", "_coordinator") if (part := getattr(client, name, None)) is not None
    ]
    for part in parts:
        with suppress(Exception):
            await within(PART_SECONDS, part.close())
        for name in ("_sender_task", "_fetch_task", "_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
            if isinstance(task := getattr(part, name, None), asyncio.Task):
                abandon(task)
    with suppress(Exception):
        await within(PART_SECONDS, (getattr(client, "client", None) or client._client).close())


async def check_topics(broker: Broker, wanted: Collection[TopicSpec]) -> None:
    """Raise Unfit if this process cannot work with the topics of Kafka, or one of KAFKA_TROUBLE.

    A topic must exist with the declared number of partitions or more, and the user must be allowed to see it. Check at
    start, because later each send would block for 8 s.
    """
    await reach(broker)
    client = AIOKafkaClient(**broker.options, request_timeout_ms=10_000)
    try:
        await within(15, _whole(client.bootstrap()))
        names = sorted(each.name for each in wanted)
        request = MetadataRequest(names, allow_auto_topic_creation=False)
        answer = await within(15, client.send(client.get_random_node(), request))
    finally:
        with suppress(Exception):
            await within(STOP_SECONDS, client.close())
    found = {topic: (error, len(partitions)) for error, topic, _, partitions in answer.topics}
    hidden = [name for name, (error, _) in found.items() if error == TopicAuthorizationFailedError.errno]
    missing = [name for name in names if name not in hidden and not found.get(name, (0, 0))[1]]
    small = [
        f"{each.name} ({found[each.name][1]} of {each.partitions})"
        for each in wanted
        if 0 < found.get(each.name, (0, 0))[1] < each.partitions
    ]
    problems = (
        (hidden, f"does not show the user {broker.principal} the topic", "grant it access"),
        (missing, "has no topic", "create it"),
        (small, "has too few partitions of the topic", "add partitions while nothing reads or writes it"),
    )
    for topics, problem, remedy in problems:
        if topics:
            raise Unfit(f"Kafka at {broker} {problem} {', '.join(sorted(topics))}: {remedy}, then start again")


def reason_of(error: BaseException, broker: Broker) -> str:
    """Return the error in one line, with what to do if Kafka forbids a request."""
    if isinstance(error, REFUSED):
        return f"Kafka forbids {broker.principal} {error}: grant what docs/generated/services.md lists"
    return f"{type(error).__name__}: {error}"


async def reach(broker: Broker) -> None:
    """Log in to one of the servers. Raise Unfit if it refuses, is not trusted or too old, KafkaConnectionError if away.

    aiokafka's clients only log the reason, and raise that they could not start.
    """
    options = {name: value for name, value in broker.options.items() if name != "bootstrap_servers"}
    error: Exception | None = None
    for host, port, _ in collect_hosts(broker.servers):
        try:
            connection = await within(10, create_conn(host, port, request_timeout_ms=10_000, **options))
        except SSLCertVerificationError as failure:
            reason = (
                f"is not trusted: {failure.verify_message.rstrip('.')}: correct CROSSDOCK_KAFKA_CA or CROSSDOCK_KAFKA"
            )
            error = Unfit(f"Kafka at {host}:{port} {reason}")
        except (SaslAuthenticationFailed, UnsupportedSaslMechanismError):
            names = "CROSSDOCK_KAFKA_USER, CROSSDOCK_KAFKA_PASSWORD or CROSSDOCK_KAFKA_MECHANISM"
            error = Unfit(f"Kafka at {host}:{port} does not let {broker.user} log in: correct {names}")
        except KAFKA_TROUBLE as failure:
            if isinstance(refusal := failure.__cause__, SSLError) and "CERTIFICATE" in str(refusal.reason):
                names = "CROSSDOCK_KAFKA_CERTIFICATE and CROSSDOCK_KAFKA_KEY"
                which = "this client's certificate" if broker.certificate else "a client without a certificate"
                error = Unfit(f"Kafka at {host}:{port} refuses {which}: correct {names}")
                continue
            reason = (
                "no answer in time" if isinstance(failure, TimeoutError) else str(failure) or type(failure).__name__
            )
            advice = "correct CROSSDOCK_KAFKA or CROSSDOCK_KAFKA_PROTOCOL, or start Kafka"
            error = KafkaConnectionError(f"Kafka at {host}:{port} cannot be reached: {reason}: {advice}")
        else:
            _, newest = connection._versions.get(FETCH, (0, 0))
            connection.close()
            if newest >= OLDEST_FETCH:
                return
            error = Unfit(f"Kafka at {host}:{port} is older than {OLDEST}: upgrade it")
    if error is not None:
        raise error


async def topics_of(broker: Broker) -> set[str]:
    """Return the names of all topics. Raise one of KAFKA_TROUBLE."""
    admin = AIOKafkaAdminClient(**broker.options, request_timeout_ms=10_000)
    await _started_admin(admin)
    try:
        return set(await within(15, admin.list_topics()))
    finally:
        with suppress(Exception):
            await within(STOP_SECONDS, admin.close())


async def broker_trouble(broker: Broker, seconds: float) -> str | None:
    """Return why Kafka does not answer a request within the time, None if it does."""
    client = AIOKafkaClient(**broker.options, request_timeout_ms=int(seconds * 1000))
    try:
        await within(seconds, _whole(client.bootstrap()))
    except KAFKA_TROUBLE as error:
        return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    finally:
        with suppress(Exception):
            await within(PART_SECONDS, client.close())
    return None


async def lag(broker: Broker, group: str, topic: str) -> dict[int, int]:
    """Return by partition how many messages the group has not yet reported as done. Raise one of KAFKA_TROUBLE."""
    admin = AIOKafkaAdminClient(**broker.options, request_timeout_ms=5_000)
    await _started_admin(admin)
    consumer: AIOKafkaConsumer | None = None
    try:
        done: Mapping[TopicPartition, Any] = await within(5, admin.list_consumer_group_offsets(group))
        consumer = await start_consumer(broker, None, client_id=f"lag-of-{group}")
        partitions = [TopicPartition(topic, p) for p in await partitions_of(consumer, topic)]
        ends = await within(5, consumer.end_offsets(partitions))
        starts = await within(5, consumer.beginning_offsets(partitions))
        return {
            each.partition: max(0, ends[each] - max(starts[each], done[each].offset if each in done else 0))
            for each in partitions
        }
    finally:
        if consumer is not None:
            await discard(consumer)
        with suppress(Exception):
            await within(STOP_SECONDS, admin.close())


async def ends_of(broker: Broker, topic: str) -> Mapping[int, int]:
    """Return the next offset of each partition. Raise one of KAFKA_TROUBLE, or TopicsMissing."""
    consumer = await start_consumer(broker, None, client_id="ends-of-topic")
    try:
        partitions = [TopicPartition(topic, p) for p in await partitions_of(consumer, topic)]
        ends = await within(5, consumer.end_offsets(partitions))
        return {each.partition: end for each, end in ends.items()}
    finally:
        await discard(consumer)


async def spans_of(broker: Broker, topics: Collection[str]) -> Mapping[TopicPartition, tuple[int, int]]:
    """Return the first and the next offset of each partition. Raise one of KAFKA_TROUBLE, or TopicsMissing."""
    consumer = await start_consumer(broker, None, client_id="spans-of-topics")
    try:
        partitions = [TopicPartition(topic, p) for topic in topics for p in await partitions_of(consumer, topic)]
        beginnings = await within(5, consumer.beginning_offsets(partitions))
        ends = await within(5, consumer.end_offsets(partitions))
        return {each: (beginnings[each], ends[each]) for each in partitions}
    finally:
        await discard(consumer)


async def members_of(broker: Broker, group: str) -> int:
    """Return how many consumers are in a group. Raise one of KAFKA_TROUBLE."""
    admin = AIOKafkaAdminClient(**broker.options, request_timeout_ms=5_000)
    await _started_admin(admin)
    try:
        answers: list[Any] = await within(5, admin.describe_consumer_groups([group]))
        return len(answers[0].groups[0][5])
    finally:
        with suppress(Exception):
            await within(STOP_SECONDS, admin.close())


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await within(5, consumer._client.add_topic(topic))
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise TopicsMissing(topic)
    return set(partitions)


async def _started_admin(admin: AIOKafkaAdminClient) -> None:
    try:
        await within(15, _whole(admin.start()))
    except BaseException:
        with suppress(Exception):
            await within(STOP_SECONDS, admin.close())
        raise
