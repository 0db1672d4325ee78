"""The position of a group on each partition: the next offset to handle. Only the database's rows count."""

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import within
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.reactions import Subscription

POSITIONS = "SELECT topic, partition, next FROM consumer_position WHERE consumer_group = $1"

REMEMBER = """
    INSERT INTO consumer_position (consumer_group, topic, partition, next)
    SELECT $1, topic, partition, next FROM unnest($2::text[], $3::int[], $4::bigint[]) AS new (topic, partition, next)
    ORDER BY topic, partition ON CONFLICT DO NOTHING
"""

# Compare and set. If another member has locked a row, the statement waits and compares the row that it commits.
ADVANCE = """
    UPDATE consumer_position AS position SET next = new.next
    FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS new (topic, partition, expected, next)
    WHERE (position.consumer_group, position.topic, position.partition) = ($1, new.topic, new.partition)
      AND position.next = new.expected
"""


async def ensure_positions(database: Database, kafka: Broker, subscription: Subscription, began: float) -> None:
    """Store the start of each topic that is new to the group as its position. Later starts do not move it.

    `began` is when this process began, in seconds since the epoch. A partition without a position, on a topic that has
    others, stays stopped: guessing could skip or repeat events.
    """
    group = subscription.group
    client = await clients.start_consumer(kafka, None, client_id=f"{group}-positions")
    try:
        partitions = {
            topic: sorted(await clients.partitions_of(client, topic)) for topic in sorted(subscription.topics)
        }
        everything = [TopicPartition(topic, p) for topic, ps in partitions.items() for p in ps]
        starts = await _starts(client, everything, subscription, began)
    finally:
        await clients.discard(client)
    async with database.unit() as unit:
        await unit.sql.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", group)
        rows = await unit.sql.fetch(POSITIONS, group)
        known = {row["topic"] for row in rows}
        fresh = [tp for tp in everything if tp.topic not in known]
        if fresh:
            columns = [t.topic for t in fresh], [t.partition for t in fresh], [starts[t] for t in fresh]
            await unit.sql.execute(REMEMBER, group, *columns)


async def _starts(
    client: AIOKafkaConsumer, partitions: Sequence[TopicPartition], subscription: Subscription, began: float
) -> Mapping[TopicPartition, int]:
    """Return the offset at which the group starts on each partition, if it has never read the topic.

    A group that starts at `now` reads all records published since this process began, however long Kafka or the
    database was away. The ends are taken before the search by time, so that a record that arrives between them is not
    missed.
    """
    if subscription.start == "beginning":
        beginnings: Mapping[TopicPartition, int] = await within(10, client.beginning_offsets(partitions))
        return beginnings
    ends = await within(10, client.end_offsets(partitions))
    since = await within(10, client.offsets_for_times(dict.fromkeys(partitions, int(began * 1000))))
    return {tp: min(ends[tp], found.offset) if (found := since[tp]) else ends[tp] for tp in partitions}


async def positions_of(database: Database, group: str) -> dict[TopicPartition, int]:
    """Return the next offset of each partition on which the group has a position."""
    async with database.unit() as unit:
        rows = await unit.sql.fetch(POSITIONS, group)
    return {TopicPartition(row["topic"], row["partition"]): row["next"] for row in rows}
