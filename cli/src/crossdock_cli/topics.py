"""The topics of an installation: those of the catalogue, and those for dead letters of each installed service."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from crossdock_cli import discovery
from crossdock_cli.discovery import Installed
from crossdock_cli.errors import CommandError
from crossdock_cli.waiting import in_thread, wait_until
from crossdock_events import CATALOGUE, TopicSpec

TOPIC_EXISTS = 36
MAX_COPIES = 3


def of_catalogue() -> list[TopicSpec]:
    return [topic.spec for topic in sorted(CATALOGUE.topics(), key=lambda each: each.name)]


def of_dead_letters(services: Iterable[Installed]) -> list[TopicSpec]:
    return [spec for service in services for spec in service.build(discovery.NOWHERE).dead_letter_specs()]


class Topics:
    """The topics of a cluster, managed by an administrator's client."""

    def __init__(self, **connection: Any) -> None:
        """Keep an aiokafka client's arguments: `bootstrap_servers`, and others for a broker with a login or TLS."""
        self._connection = connection

    def ensure(self, wanted: Sequence[TopicSpec]) -> list[str]:
        """Create the missing topics and return their names. Existing topics stay as they are."""
        return in_thread(lambda: self._ensure(wanted))

    def names(self) -> set[str]:
        async def names() -> set[str]:
            admin = await self._admin()
            try:
                return set(await admin.list_topics())
            finally:
                await admin.close()

        return in_thread(names)

    def partitions(self, name: str) -> int:
        return self.all_partitions([name])[name]

    def all_partitions(self, names: Sequence[str]) -> dict[str, int]:
        """Return how many partitions each of these topics has."""

        async def count() -> dict[str, int]:
            admin = await self._admin()
            try:
                return {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics(list(names))}
            finally:
                await admin.close()

        return in_thread(count)

    def grow(self, name: str, partitions: int) -> None:
        """Add partitions up to this number. Raise CommandError if Kafka refuses."""

        async def add() -> None:
            admin = await self._admin()
            try:
                await admin.create_partitions({name: NewPartitions(partitions)})
            except KafkaError as error:
                raise CommandError(f"Kafka refused to add partitions to {name}: {error}.") from error
            finally:
                await admin.close()

        in_thread(add)

    def ends(self, name: str) -> dict[int, int]:
        """Return the next offset of each partition."""

        async def ends() -> dict[int, int]:
            consumer = AIOKafkaConsumer(name, **self._connection)
            await consumer.start()
            try:
                return {
                    each.partition: end for each, end in (await consumer.end_offsets(consumer.assignment())).items()
                }
            finally:
                await consumer.stop()

        return in_thread(ends)

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until a broker answers. Raise CommandError if none does in time."""
        if not wait_until(self.answers, seconds):
            raise CommandError(f"Kafka does not answer at {self._connection['bootstrap_servers']}: is it up?")

    def answers(self) -> bool:
        """Return whether a registered broker answers."""
        try:
            self.cluster_id()
        except (KafkaError, OSError):
            return False
        return True

    def cluster_id(self) -> str:
        """Return the cluster's id. Raise KafkaError or OSError if no registered broker answers."""

        async def ask() -> str:
            admin = await self._admin()
            try:
                cluster = await admin.describe_cluster()
                if not cluster["brokers"]:
                    raise KafkaError("no broker has registered yet")
                return str(cluster["cluster_id"])
            finally:
                await admin.close()

        return in_thread(ask)

    async def _admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(**self._connection, request_timeout_ms=10_000)
        try:
            await admin.start()
        except BaseException:
            await admin.close()
            raise
        return admin

    async def _ensure(self, wanted: Sequence[TopicSpec]) -> list[str]:
        admin = await self._admin()
        try:
            present = set(await admin.list_topics())
            copies = min(MAX_COPIES, len((await admin.describe_cluster())["brokers"]))
            missing = [
                NewTopic(topic.name, topic.partitions, copies, topic_configs=dict(topic.config))
                for topic in wanted
                if topic.name not in present
            ]
            if not missing:
                return []
            response: Any = await admin.create_topics(missing, timeout_ms=20_000)
            for name, code, *reason in response.topic_errors:
                if code not in (0, TOPIC_EXISTS):
                    raise CommandError(f"Kafka refused to create the topic {name}.", f"error {code}: {reason}")
            deadline = time.monotonic() + 20
            while not await _led(admin, [topic.name for topic in missing]):
                if time.monotonic() > deadline:
                    raise CommandError(
                        "Kafka created the topics, but no broker leads their partitions: look at the broker's log."
                    )
                await asyncio.sleep(0.05)
            return [topic.name for topic in missing]
        finally:
            await admin.close()


async def _led(admin: AIOKafkaAdminClient, names: list[str]) -> bool:
    """Return whether every partition accepts messages. Kafka answers a creation shortly before that."""
    found = await admin.describe_topics(names)
    return all(
        topic["error_code"] == 0 and all(partition["error_code"] == 0 for partition in topic["partitions"])
        for topic in found
    )
