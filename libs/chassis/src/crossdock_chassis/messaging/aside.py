"""Records that a group has set aside: dead letters, blocked records, and the records that wait behind them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import asyncpg

from crossdock_chassis.database.outbox import MESSAGE_LIMIT_BYTES, message_size
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Unit
from crossdock_chassis.messaging import breaker
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_events import Message, TopicSpec

# The lock keeps the key parked until this unit has committed. It lets the retries change `due_at` meanwhile.
PARKED = """
    SELECT topic, key, due_at IS NOT NULL AS blocked FROM parked_key
    WHERE consumer_group = $1 AND (topic, key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))
    FOR KEY SHARE
"""

PARK = "INSERT INTO parked_key (consumer_group, topic, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"

BLOCK = """
    INSERT INTO parked_key (consumer_group, topic, key, due_at) VALUES ($1, $2, $3, now())
    ON CONFLICT (consumer_group, topic, key) DO UPDATE SET due_at = excluded.due_at
"""

BLOCKED = """
    SELECT count(*) FROM (SELECT FROM parked_key WHERE consumer_group = $1 AND due_at IS NOT NULL LIMIT $2) AS counted
"""

KEEP = """
    INSERT INTO dead_letter
        (consumer_group, topic, partition, "offset", key, value, headers, state, reason, fingerprint)
    SELECT $1, topic, partition, "offset", key, value, headers, state, reason, fingerprint
    FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::bytea[], $7::json[], $8::text[], $9::text[],
                $10::text[])
         AS new (topic, partition, "offset", key, value, headers, state, reason, fingerprint)
    ON CONFLICT (consumer_group, topic, partition, "offset") DO NOTHING
"""

DISCARD = """
    UPDATE dead_letter SET resolved_at = now(), resolution = $5::json
    WHERE (consumer_group, topic, partition, "offset") = ($1, $2, $3, $4) AND state = 'discarded'
"""

MAX_KEY_BYTES = 1_000
"""Nothing parks behind a longer key. Keys of events are ids, and an index row of PostgreSQL holds 2,704 bytes.

The index `dead_letter_open` has the same limit. A query without the limit cannot use the index.
"""

PARKED_BEHIND = "an earlier event of this key is a dead letter"
BLOCKED_BEHIND = "an earlier event of this key is blocked and is retried"


@dataclass(frozen=True, slots=True)
class Record:
    """A message and its place on the log. `time` is the broker's timestamp in seconds since the epoch."""

    message: Message
    partition: int
    offset: int
    time: float

    @property
    def at(self) -> tuple[int, int]:
        return self.partition, self.offset


AsideState: TypeAlias = Literal["poison", "parked", "blocked", "discarded"]
"""A `poison` record waits for a person, a `blocked` one is retried. A `parked` record waits behind poison."""


class Aside(NamedTuple):
    """A record that was set aside, and why."""

    record: Record
    state: AsideState
    reason: str
    fingerprint: str = ""


async def keep(unit: Unit, subscription: Subscription, aside: Sequence[Aside]) -> None:
    """Store records in the table, which is authoritative, and copy them to the dead-letter topic for people."""
    aside = [each._replace(reason=storable(each.reason)) for each in aside]
    aside.sort(key=lambda each: (each.record.message.topic, each.record.partition, each.record.offset))
    await unit.sql.execute(
        KEEP,
        subscription.group,
        [each.record.message.topic for each in aside],
        [each.record.partition for each in aside],
        [each.record.offset for each in aside],
        [each.record.message.key for each in aside],
        [each.record.message.value for each in aside],
        [headers_json(each.record.message) for each in aside],
        [each.state for each in aside],
        [each.reason for each in aside],
        [each.fingerprint or fingerprint(each.reason) for each in aside],
    )
    mirror(unit, subscription, aside)


async def discard(
    unit: Unit, subscription: Subscription, record: Record, reason: str, resolution: Mapping[str, object]
) -> None:
    """Keep a record that a person has dropped as a discarded dead letter. Its key is not parked."""
    await keep(unit, subscription, [Aside(record, "discarded", reason)])
    await unit.sql.execute(DISCARD, subscription.group, record.message.topic, *record.at, json.dumps(resolution))


def mirror(unit: Unit, subscription: Subscription, aside: Sequence[Aside]) -> None:
    """Copy dead letters to their topic. A blocked record is none: it is retried without a person."""
    if subscription.kind == "reaction":
        for each in aside:
            if each.state != "blocked":
                unit.mirror(_mirror(subscription.group, each.record, each.state, each.reason))


def dead_letter_topic(topic: str, group: str) -> str:
    return f"{topic}.{group}.dlq"


def mirrors(topic: str, of: Collection[str]) -> bool:
    """Return whether the topic mirrors the dead letters of any group on one of these topics."""
    return topic.endswith(".dlq") and any(topic.startswith(f"{each}.") for each in of)


def dead_letter_spec(topic: str, group: str) -> TopicSpec:
    """Return the topic that copies dead letters for people. The table is authoritative, so one partition is enough."""
    config = {"cleanup.policy": "delete", "retention.ms": "-1"}
    return TopicSpec(dead_letter_topic(topic, group), 1, config)


def fingerprint(reason: str) -> str:
    """Return an id of the kind of a reason without an exception. `breaker` has the one of an exception."""
    return breaker.fingerprint("".join("#" if c.isdigit() else c for c in reason.split(":", 1)[0]))


def headers_json(message: Message) -> str:
    """Return headers as JSON, each byte as one character (latin-1). NUL is escaped, because PostgreSQL refuses it."""
    return json.dumps({name: value.decode("latin-1") for name, value in message.headers.items()})


def headers_of(text: str) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in json.loads(text).items()}


def record_of(row: asyncpg.Record) -> Record:
    """Return the record of a row of `dead_letter`. Its headers must be selected as text."""
    message = Message(row["topic"], row["key"], row["value"], headers_of(row["headers"]))
    return Record(message, row["partition"], row["offset"], row["created_at"].timestamp())


def aggregate_of(message: Message) -> tuple[str, bytes | None]:
    """Return the topic and the key that parks with a poison record: none if no index could hold it."""
    key = message.key
    return message.topic, key if key is not None and len(key) <= MAX_KEY_BYTES else None


def behind(record: Record, state: AsideState) -> Aside:
    return Aside(record, state, BLOCKED_BEHIND if state == "blocked" else PARKED_BEHIND)


def _mirror(group: str, record: Record, state: str, reason: str) -> Message:
    """Return the copy for people. Of a record that is too large for the outbox it has no content: the table does."""
    message = record.message
    about = {
        "crossdock_state": state.encode(),
        "crossdock_reason": reason.encode("ascii", "backslashreplace")[:500],
        "crossdock_origin": f"{message.topic}/{record.partition}/{record.offset}".encode(),
    }
    topic, copy = dead_letter_topic(message.topic, group), {**message.headers, **about}
    size = message_size(message.key, message.value, copy)
    if size <= MESSAGE_LIMIT_BYTES:
        return Message(topic, message.key, message.value, copy)
    about["crossdock_omitted"] = f"{size} bytes: see the dead letter".encode()
    return Message(topic, aggregate_of(message)[1], b"", about)
