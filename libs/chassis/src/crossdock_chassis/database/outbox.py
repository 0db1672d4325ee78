"""Append events to the outbox. A row is a whole Kafka message, so the relay sends it without knowing the event type."""

from collections.abc import Mapping, Sequence

import asyncpg
from pydantic_core import to_json

from crossdock_chassis.ids import new_id
from crossdock_events import Envelope, Event, Message

CHANNEL = "outbox"
MESSAGE_LIMIT_BYTES = 900_000
"""Below every topic's `max.message.bytes` (1,048,576), with room for headers and batch framing."""

PENDING_LIMIT = 500
"""Most messages in one row of `outbox_pending`, so that the relay reads and sends bounded batches."""

APPEND = f"""
    WITH appended AS (
        INSERT INTO outbox (event_id, topic, key, value, headers)
        SELECT event_id, topic, key, value, headers
        FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::json[])
             WITH ORDINALITY AS new (event_id, topic, key, value, headers, position)
        ORDER BY position
        RETURNING id
    ), pending AS (
        INSERT INTO outbox_pending (ids)
        SELECT array_agg(id ORDER BY id)
        FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / {PENDING_LIMIT} AS part FROM appended) AS numbered
        GROUP BY part ORDER BY part
    )
    SELECT pg_notify('outbox', ''), set_config('lock_timeout', '0', true)
"""
"""The last statement of a unit. It removes the lock timeout before the commit.

Committing a NOTIFY takes a server-wide lock and waits until another unit's commit reaches the disk. With a timeout
there, a slow disk would lead to commits with an unknown outcome."""


def message_size(key: bytes | None, value: bytes, headers: Mapping[str, bytes | str]) -> int:
    """Return about how many bytes a message takes in the outbox and on the wire."""
    return len(key or b"") + len(value) + sum(len(name) + len(text) for name, text in headers.items())


class MessageTooLarge(Exception):
    """The message is too large. A record that the broker refuses would block an idempotent producer's partition."""


async def append(sql: asyncpg.Connection, envelopes: Sequence[Envelope[Event]], mirrored: Sequence[Message]) -> None:
    ids = [envelope.id for envelope in envelopes] + [new_id() for _ in mirrored]
    topics = [envelope.event.topic.name for envelope in envelopes] + [message.topic for message in mirrored]
    headers = [envelope.headers() for envelope in envelopes] + [_texts(message.headers) for message in mirrored]
    keys = [each["ce_subject"].encode() for each in headers[: len(envelopes)]] + [message.key for message in mirrored]
    values = [envelope.event.to_json() for envelope in envelopes] + [message.value for message in mirrored]
    for topic, value in zip(topics, values, strict=True):
        if len(value) > MESSAGE_LIMIT_BYTES:
            raise MessageTooLarge(f"{len(value)} bytes for {topic}")
    await sql.execute(APPEND, ids, topics, keys, values, [to_json(each).decode() for each in headers])


def _texts(headers: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode("utf-8", "backslashreplace") for name, value in headers.items()}
