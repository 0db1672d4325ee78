"""Append events to the outbox. A row is a whole Kafka message, so the relay sends it without knowing the event type."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from crossdock_chassis.checks import Check
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

PENDING_NOTHING = Check(
    4,
    "lost",
    "messages to send that are not in the outbox, or are listed twice",
    """
    SELECT format('message %s', id) FROM (SELECT unnest(ids) AS id FROM outbox_pending) AS listed
    GROUP BY id HAVING count(*) > 1 OR NOT EXISTS (SELECT FROM outbox WHERE outbox.id = listed.id)
    """,
)


def message_size(key: bytes | None, value: bytes, headers: Mapping[str, bytes | str]) -> int:
    """Return about how many bytes a message takes in the outbox and on the wire."""
    return len(key or b"") + len(value) + sum(len(name) + len(text) for name, text in headers.items())


class MessageTooLarge(Exception):
    """The message is too large. A record that the broker refuses would block an idempotent producer's partition."""


class Row(NamedTuple):
    """A message as the outbox stores it."""

    event_id: UUID
    topic: str
    key: bytes | None
    value: bytes
    headers: str


def row_of(envelope: Envelope[Event]) -> Row:
    """Return the row of an event. Raise MessageTooLarge, ValueError if the event cannot be sent."""
    headers = envelope.headers()
    key, value, topic = headers["ce_subject"].encode(), envelope.event.to_json(), envelope.event.topic.name
    if (size := len(value) + 2 * len(key)) > MESSAGE_LIMIT_BYTES:  # the key is in a header too
        raise MessageTooLarge(f"{size} bytes for {topic}")
    return Row(envelope.id, topic, key, value, to_json(headers).decode())


def row_of_message(message: Message) -> Row:
    """Return the row of a raw message with an id of its own. Raise MessageTooLarge."""
    if (size := message_size(message.key, message.value, message.headers)) > MESSAGE_LIMIT_BYTES:
        raise MessageTooLarge(f"{size} bytes for {message.topic}")
    headers = {name: value.decode("utf-8", "backslashreplace") for name, value in message.headers.items()}
    return Row(new_id(), message.topic, message.key, message.value, to_json(headers).decode())


async def append(sql: asyncpg.Connection, rows: Sequence[Row]) -> None:
    await sql.execute(APPEND, *map(list, zip(*rows, strict=True)))
