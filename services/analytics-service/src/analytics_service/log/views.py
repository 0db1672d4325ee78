"""Read the log: its head, a page of the feed, one record. Each record is encoded once, as JSON."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from analytics_service.log.keep import BY_INDEX
from crossdock_chassis import Database, Problem, Refusal, headers_of
from crossdock_events import CATALOGUE, Envelope, Message

EXPIRED: Final = Problem(
    410,
    "log-cursor-expired",
    "The log has lost what follows this cursor, or was made anew; go on with `since` and a time, or without a cursor",
)
BAD_CURSOR: Final = Problem(
    400, "bad-log-cursor", "The cursor is not `next` of a page, or the id of a message of the stream"
)
NO_SUCH_EVENT: Final = Problem(404, "no-such-event", "The log has no event with this id that you may see")

CURSOR: Final = re.compile(r"([0-9a-f]{8}-[0-9]{1,9})\.([0-9]{1,18})", re.ASCII)

SCANNED: Final = 1_000
"""Rows that one statement looks at. A page looks at `PAGE_SCANS` times as many, wanted or not."""
PAGE_SCANS: Final = 5
PAGE_BYTES: Final = 4 << 20
"""A page ends early if its records are larger than this in all."""

HEAD: Final = """
    SELECT epoch || '-' || generation AS epoch, position, forgotten FROM log_head CROSS JOIN commit_generation
"""
ARRIVED: Final = "SELECT position FROM log_arrival WHERE at <= $1 ORDER BY at DESC, position DESC LIMIT 1"

_COLUMNS: Final = """
    position, kafka_time, topic, partition, "offset", key, type, event_id, source, sequence, correlation_id,
    causation_id, order_id, partner, repeat, trace_id, headers::text AS headers
"""
# These indexes have no position, so that equal ids share an entry.
_OF_ID: Final = f"""
    WITH chosen AS MATERIALIZED (SELECT position FROM log WHERE {{column}} = $3 AND position > $1)
    SELECT {_COLUMNS}, value FROM log
    WHERE position = ANY (ARRAY(SELECT position FROM chosen ORDER BY position LIMIT $2)) ORDER BY position
"""
FROM: Final = {
    None: f"SELECT {_COLUMNS}, value FROM log WHERE position > $1 ORDER BY position LIMIT $2",
    "order_id": f"SELECT {_COLUMNS}, value FROM log WHERE position > $1 AND order_id = $3 ORDER BY position LIMIT $2",
    "partner": f"SELECT {_COLUMNS}, value FROM log WHERE position > $1 AND partner = $3 ORDER BY position LIMIT $2",
    "correlation_id": _OF_ID.format(column="correlation_id"),
    "trace_id": _OF_ID.format(column="trace_id"),
}
"""The rows behind a position, by the column whose index serves the filter."""

# The value of a row that is not wanted is not read from its table.
_WANTED: Final = "NOT repeat AND ($3::text[] IS NULL OR type = ANY ($3::text[]))"
_FEED: Final = f"""
    SELECT {_COLUMNS}, {_WANTED} AS wanted, CASE WHEN {_WANTED} THEN value END AS value
    FROM log WHERE position > $1 {{}} ORDER BY position LIMIT $2
"""
FEED: Final = _FEED.format("")
FEED_OF_PARTNER: Final = _FEED.format("AND partner = $4")

BY_ID: Final = f"SELECT {_COLUMNS}, value FROM log WHERE event_id = $1 ORDER BY position LIMIT 1"
BY_POSITION: Final = f"SELECT {_COLUMNS}, value FROM log WHERE position = $1"


class EventView(BaseModel):
    """A record of Kafka. The attributes are null if it is no readable event."""

    cursor: Annotated[str, Field(description="The place of the record in the log: what follows is read after it")]
    topic: str
    partition: int
    offset: int
    time: Annotated[datetime, Field(description="When Kafka stored it")]
    key: str | None
    type: str | None
    id: UUID | None
    source: str | None
    sequence: int | None
    event_time: Annotated[str | None, Field(description="When it happened, as its service wrote it")]
    correlation_id: UUID | None
    causation_id: UUID | None
    order_id: UUID | None
    partner: str | None
    repeat: Annotated[bool, Field(description="Whether the topic had this event before: a relay sent it again")]
    size: Annotated[int, Field(description="Bytes of the data")]
    data: Annotated[dict[str, Any] | None, Field(description="Null if it is no JSON object, or if it is left out")]


class RecordView(EventView):
    """A record, whole."""

    headers: Annotated[dict[str, str], Field(description="Each byte as one character")]
    raw: Annotated[str | None, Field(description="The bytes of the data in hexadecimal, if it is no JSON object")]


class Events(BaseModel):
    """A page of the feed."""

    items: list[EventView]
    next: Annotated[str, Field(description="Send it as `after` of the next request, also if `items` is empty")]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log. `position` is the last one, and rows up to `forgotten` may be gone."""

    epoch: str
    position: int
    forgotten: int

    def cursor(self, position: int) -> str:
        return f"{self.epoch}.{position}"

    def position_of(self, cursor: str, name: str, where: str = "query") -> int:
        """Return the position of a cursor. Raise Refusal 400 for other text, 410 if the log cannot go on from there."""
        found = CURSOR.fullmatch(cursor)
        if found is None:
            detail = "Send `next` of a page, or the id of a message, unchanged"
            raise Refusal(BAD_CURSOR, errors=[{"in": where, "parameter": name, "detail": detail, "code": "bad_cursor"}])
        position = int(found[2])
        if found[1] != self.epoch or not self.forgotten <= position <= self.position:
            raise Refusal(EXPIRED, f"The log cannot go on behind {cursor}")
        return position


async def head(database: Database) -> Head:
    (row,) = await database.fetch(HEAD)
    return Head(row["epoch"], row["position"], row["forgotten"])


async def at_time(database: Database, head: Head, since: datetime) -> int:
    """Return a position before everything that arrived in the log after this time."""
    rows = await database.fetch(ARRIVED, since)
    return max(head.forgotten, rows[0]["position"] - 1 if rows else 0)


async def behind(
    database: Database, position: int, limit: int, by: str | None = None, value: object = None
) -> Sequence[asyncpg.Record]:
    """Return the next rows behind a position, all or those with one value of an indexed column."""
    return await _fetch(database, FROM[by], position, limit, *(() if by is None else (value,)))


async def page(
    database: Database, at: Head, after: int, *, partner: str | None, types: Sequence[str] | None, limit: int
) -> bytes:
    """Return a page of the feed, each event once. A partner gets its own events that it may see."""
    items: list[bytes] = []
    size, position = 0, after
    rows: Sequence[asyncpg.Record] = ()
    for _ in range(PAGE_SCANS):
        if partner is None:
            rows = await _fetch(database, FEED, position, SCANNED, types)
        else:
            rows = await _fetch(database, FEED_OF_PARTNER, position, SCANNED, types, partner)
        for row in rows:
            if len(items) == limit or size > PAGE_BYTES:
                return _page(at, items, position)
            position = row["position"]
            if row["wanted"] and (partner is None or seen_by(row) == partner):
                items.append(encoded(row, at))
                size += len(items[-1])
        if len(rows) < SCANNED:
            break
    if len(rows) < SCANNED:
        position = max(position, at.position)  # `at` is older than the rows, so none between was missed
    return _page(at, items, position)


def _page(at: Head, items: Sequence[bytes], position: int) -> bytes:
    return b'{"items":[%s],"next":"%s"}' % (b",".join(items), at.cursor(position).encode())


async def find(database: Database, at: Head, id: UUID | int, partner: str | None) -> bytes | None:
    """Return the first record with an event id, or the one at a position. None if there is none that may be seen."""
    rows = await _fetch(database, BY_POSITION if isinstance(id, int) else BY_ID, id)
    if not rows or (partner is not None and seen_by(rows[0]) != partner):
        return None
    return encoded(rows[0], at, whole=True)


async def _fetch(database: Database, statement: str, *values: object) -> Sequence[asyncpg.Record]:
    async with database.unit() as unit:
        await unit.sql.execute(BY_INDEX)
        rows: Sequence[asyncpg.Record] = await unit.sql.fetch(statement, *values)
    return rows


def seen_by(row: asyncpg.Record) -> str | None:
    """Return the partner that may see the event of a row. No partner may see a record that is no known event."""
    message = Message(row["topic"], row["key"], row["value"], headers_of(row["headers"]))
    decoded = CATALOGUE.decode(message)
    return decoded.event.seen_by if isinstance(decoded, Envelope) else None


def encoded(row: asyncpg.Record, at: Head, *, whole: bool = False, most: int | None = None) -> bytes:
    """Return a row as the JSON of `EventView`, or of `RecordView`. Data with more than `most` bytes is left out."""
    value: bytes = row["value"]
    fields: dict[str, object] = {
        "cursor": at.cursor(row["position"]),
        "topic": row["topic"],
        "partition": row["partition"],
        "offset": row["offset"],
        "time": row["kafka_time"].isoformat(),
        "key": text_of(row["key"]),
        "type": row["type"],
        "id": _text(row["event_id"]),
        "source": row["source"],
        "sequence": row["sequence"],
        "event_time": header(row, "ce_time"),
        "correlation_id": _text(row["correlation_id"]),
        "causation_id": _text(row["causation_id"]),
        "order_id": _text(row["order_id"]),
        "partner": row["partner"],
        "repeat": row["repeat"],
        "size": len(value),
    }
    data = b"null" if most is not None and len(value) > most else _object(value)
    if whole:
        fields["headers"] = json.loads(row["headers"])
        fields["raw"] = value.hex() if data == b"null" else None
    return json.dumps(fields)[:-1].encode() + b', "data": ' + data + b"}"


def _object(value: bytes) -> bytes:
    """Return a JSON object in one line, `null` for other bytes."""
    try:
        found = from_json(value, allow_inf_nan=False)
    except ValueError:
        return b"null"
    if not isinstance(found, dict):
        return b"null"
    return value if value.isascii() and b"\n" not in value and b"\r" not in value else _one_line(found)


def _one_line(found: dict[str, Any]) -> bytes:
    return json.dumps(found).encode()


def text_of(key: bytes | None) -> str | None:
    return None if key is None else key.decode("utf-8", "backslashreplace")


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def header(row: asyncpg.Record, name: str) -> str | None:
    """Return a header of a row, None if it is missing."""
    value = json.loads(row["headers"]).get(name)
    return value if isinstance(value, str) else None
