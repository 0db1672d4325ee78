"""Look at all consumer groups of Kafka, also those of other programs: members, committed positions, ends of the log."""

import asyncio
import struct
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v2, ListGroupsRequest
from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from crossdock_chassis.broker import Broker
from crossdock_chassis.deadlines import foreign_cancellation_is_an_error, within

REQUEST_SECONDS: Final = 5
LOOK_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 2.0
MAX_NAME: Final = 255
"""A longer name of a group is left out. Kafka takes up to 32 kB, which no index row of PostgreSQL can hold."""
LATEST: Final = -1
NONE: Final = -1
"""Kafka's answer for a partition without a committed position."""
PROTOCOLS: Final = ("consumer", "")
"""Groups of consumers, and groups that only store positions. Kafka Connect and share groups have no positions."""
UNDESCRIBED: Final = "Dead"
"""Kafka's answer for a group of the newer protocol (KIP-848), which this version of the request cannot describe."""


class DescribeGroups(Request[DescribeGroupsRequest_v2]):
    """Ask for the state and members of groups, with version 2 of the request.

    aiokafka's own class prefers version 3 and decodes its answer as version 2, which has one field less for each group.
    Two groups in an answer then break the connection.
    """

    API_KEY = DescribeGroupsRequest_v2.API_KEY

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = list(groups)

    def build(self, request_struct_class: type[DescribeGroupsRequest_v2]) -> DescribeGroupsRequest_v2:
        return request_struct_class(self._groups)


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A group as Kafka shows it. None means that Kafka did not answer, or not in a way that this client can read.

    `assigned` names the member of each partition, as `client@host`. It is None unless the group is stable.
    """

    state: str | None
    members: int | None
    assigned: Mapping[TopicPartition, str] | None
    positions: Mapping[TopicPartition, int] | None


@dataclass(frozen=True, slots=True)
class GroupsSeen:
    """The ends of the wanted topics, the names of all groups, and what Kafka shows of those within the limit."""

    ends: Mapping[TopicPartition, int]
    names: frozenset[str]
    groups: Mapping[str, GroupSeen]


async def look_at_groups(
    broker: Broker, wanted: Callable[[str], bool], *, first: Collection[str] = (), limit: int
) -> GroupsSeen:
    """Ask Kafka once, with one request per group and three per broker, all in flight together.

    Look at no more than `limit` groups: those that are known as `first`, then others by name. The ends are read after
    the positions, so that no lag is negative. Raise one of KAFKA_TROUBLE.
    """
    client = AIOKafkaClient(**broker.options, client_id="look-at-groups", request_timeout_ms=REQUEST_SECONDS * 1000)
    try:
        with foreign_cancellation_is_an_error():
            return await within(LOOK_SECONDS, _look(client, wanted, first, limit))
    finally:
        with suppress(Exception):
            await within(CLOSE_SECONDS, client.close())


async def _look(
    client: AIOKafkaClient, wanted: Callable[[str], bool], first: Collection[str], limit: int
) -> GroupsSeen:
    await client.bootstrap()
    cluster = await client.fetch_all_metadata()
    brokers = [broker.nodeId for broker in cluster.brokers()]
    listed = await asyncio.gather(*(_list(client, broker) for broker in brokers))
    names = {name: broker for broker, found in zip(brokers, listed, strict=True) for name in found}
    readable = [name for name in names if 0 < len(name) <= MAX_NAME and "\0" not in name]
    chosen = sorted(readable, key=lambda name: (name not in first, name))[:limit]
    by_broker: dict[int, list[str]] = defaultdict(list)
    for name in chosen:
        by_broker[names[name]].append(name)
    described, positions = await asyncio.gather(
        asyncio.gather(*(_describe(client, broker, groups) for broker, groups in by_broker.items())),
        asyncio.gather(*(_positions(client, names[name], name, wanted) for name in chosen)),
    )
    states = {name: state for each in described for name, state in each.items()}
    leaders: dict[int, list[TopicPartition]] = defaultdict(list)
    for topic in filter(wanted, cluster.topics()):
        for partition in cluster.partitions_for_topic(topic) or ():
            tp = TopicPartition(topic, partition)
            leader = cluster.leader_for_partition(tp)
            if leader is not None and leader >= 0:
                leaders[leader].append(tp)
    ends = await asyncio.gather(*(_ends(client, leader, tps) for leader, tps in leaders.items()))
    return GroupsSeen(
        {tp: end for each in ends for tp, end in each.items()},
        frozenset(names),
        {
            name: GroupSeen(*states.get(name, (None, None, None)), found)
            for name, found in zip(chosen, positions, strict=True)
        },
    )


async def _list(client: AIOKafkaClient, broker: int) -> list[str]:
    """Return the groups that this broker coordinates."""
    answer = await client.send(broker, ListGroupsRequest())
    _check(answer.error_code)
    return [group for group, protocol in answer.groups if protocol in PROTOCOLS]


async def _describe(
    client: AIOKafkaClient, broker: int, groups: Sequence[str]
) -> dict[str, tuple[str | None, int | None, Mapping[TopicPartition, str] | None]]:
    answer = await client.send(broker, DescribeGroups(groups))
    found: dict[str, tuple[str | None, int | None, Mapping[TopicPartition, str] | None]] = {}
    for error, group, state, protocol, _, members, *_ in answer.groups:
        if error or state == UNDESCRIBED:
            continue
        stable = state == "Stable" and protocol == "consumer"
        found[group] = (state, len(members), _assigned(members) if stable else None)
    return found


def _assigned(members: Iterable[Any]) -> Mapping[TopicPartition, str] | None:
    """Return who reads each partition. None if a member's assignment cannot be read: any client may write one."""
    found: dict[TopicPartition, str] = {}
    for _, client_id, host, _, assignment in members:
        if not assignment:
            continue
        try:
            topics = ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment
        except (ValueError, struct.error):
            return None
        name = f"{client_id}@{host.lstrip('/')}".replace("\0", "")[:MAX_NAME]
        found |= {TopicPartition(topic, partition): name for topic, partitions in topics for partition in partitions}
    return found


async def _positions(
    client: AIOKafkaClient, broker: int, group: str, wanted: Callable[[str], bool]
) -> Mapping[TopicPartition, int] | None:
    """Return the committed positions of the wanted topics, None if this group's coordinator refuses to answer."""
    answer = await client.send(broker, OffsetFetchRequest(group, None))
    if answer.error_code:
        return None
    found = {}
    for topic, partitions in answer.topics:
        if not wanted(topic):
            continue
        for partition, offset, _, error in partitions:
            if error:
                return None
            if offset != NONE:
                found[TopicPartition(topic, partition)] = offset
    return found


async def _ends(client: AIOKafkaClient, leader: int, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the ends of the partitions that answer. A partition that changes its leader has none for now."""
    topics: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for tp in tps:
        topics[tp.topic].append((tp.partition, LATEST))
    answer = await client.send(leader, OffsetRequest(-1, 0, list(topics.items())))
    return {
        TopicPartition(topic, partition): offset
        for topic, partitions in answer.topics
        for partition, error, _, offset in partitions
        if not error
    }


def _check(error: int) -> None:
    if error:
        raise for_code(error)()
