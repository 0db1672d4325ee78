"""Append events to the outbox. A row is a whole Kafka message, so the relay sends it without knowing the event type."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json

from crossdock_chassis.checks import Check
from crossdock_chassis.ids import new_id
from crossdock_events import Envelope, Event, Message

CHANNEL = "outbox"
MESSAGE_LIMIT_BYTES = 900_000
"""Below every topic's `max.message.bytes` (1,048,576), with room for headers and batch framing."""

PENDING_LIMIT = 500
"""Most messages in one row of `outbox_pending`, so that the relay reads and sends bounded batches."""

NO_PAYLOAD = ""
"""The relay needs no more than the notification. The argument is left from a payload that it once read."""

FUNCTION = "outbox_append"
"""It appends messages and lists them in `outbox_pending`. It is the last call of a unit, because it removes the lock
timeout before the commit.

Committing a NOTIFY takes a server-wide lock and waits until another unit's commit reaches the disk. With a timeout
there, a slow disk would lead to commits with an unknown outcome."""

MEASURE = """
    SELECT coalesce(sum(cardinality(ids)), 0)::bigint AS depth,
           coalesce(extract(epoch FROM now() - min(created_at)), 0)::float AS age
    FROM (SELECT created_at, ids FROM outbox_pending ORDER BY id LIMIT $1) AS first
"""
"""The number of messages to send, of at most `$1` rows, and the age of the oldest in seconds."""

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


def row_of(envelope: Envelope[Event], schemas: str) -> Row:
    """Return the row of an event. Raise MessageTooLarge, ValueError if the event cannot be sent."""
    headers = envelope.headers(schemas)
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


def columns(rows: Sequence[Row]) -> list[object]:
    """Return the arguments of `FUNCTION`."""
    return [*map(list, zip(*rows, strict=True)), PENDING_LIMIT, NO_PAYLOAD]
