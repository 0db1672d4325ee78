"""Read a service's database in one snapshot: the chassis's tables, and a connection for the service's own checks."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import asyncpg
from aiokafka.structs import TopicPartition

from crossdock_chassis import GIVEN_IDS, Check, CheckAtRest
from crossdock_cli.verify.log import CHUNK, Place
from crossdock_events import Message

INBOX_KEPT_HOURS = 90
"""Only newer events are checked, because the inbox forgets ids after 96 h."""

DEPTH = "SELECT coalesce(sum(cardinality(ids)), 0) FROM outbox_pending"

RETRIED = "SELECT consumer_group, count(*) FROM parked_key WHERE due_at IS NOT NULL GROUP BY 1 ORDER BY 1"

OUTBOX = """
    SELECT event_id::text AS id, topic, key, value, headers::text AS headers,
           outbox.id IN (SELECT unnest(ids) FROM outbox_pending) AS pending
    FROM outbox ORDER BY outbox.id
"""
TWICE = """
    SELECT event_id::text AS id, (array_agg(key))[1] AS key, (array_agg(headers))[1]::text AS headers
    FROM outbox WHERE topic NOT LIKE '%.dlq' GROUP BY event_id HAVING count(*) > 1
"""
COMMITTED = f"SELECT event_id::text FROM outbox WHERE event_id IN {GIVEN_IDS}"
HANDLED = f"SELECT event_id::text FROM inbox WHERE event_id IN {GIVEN_IDS}"
HEADS = """
    SELECT source, key, sequence FROM projection_head
    WHERE consumer_group = $1 AND topic = $2 AND key = ANY($3::text[])
"""

CURRENT = "SELECT consumer_group FROM projection WHERE state = 'current'"

ALL_HEADS = "SELECT consumer_group, source, topic, key, sequence FROM projection_head"

DEAD_LETTERS = f"""
    SELECT consumer_group, topic, partition, "offset", key, value, headers::text AS headers, state,
           resolution::text AS resolution, resolved_at > now() - interval '{INBOX_KEPT_HOURS} hours' AS recent
    FROM dead_letter ORDER BY consumer_group, topic, partition, "offset"
"""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group of the service, with the topics and event types that it handles.

    In `Source` the name of a projection's group lacks the generation: the database has the current one.
    """

    name: str
    kind: Literal["reaction", "projection", "log"]
    topics: frozenset[str]
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Source:
    """A service to check: its database, the topics that it reads, and its own checks."""

    name: str
    dsn: str
    groups: tuple[Group, ...] = ()
    dead_letter_topics: tuple[str, ...] = ()
    checks: tuple[Check | CheckAtRest, ...] = ()
    unsettled: tuple[str, ...] = ()


class DeadLetter(NamedTuple):
    group: str
    place: Place
    key: bytes | None
    value: bytes
    headers: Mapping[str, str]
    state: str
    resolution: Mapping[str, Any]
    recent: bool

    @property
    def open(self) -> bool:
        return self.state in ("poison", "parked")

    @property
    def resolved(self) -> Message:
        """Return the message that was handled when a person resolved the letter."""
        headers = {**self.headers, **self.resolution.get("headers", {})}
        sent = self.resolution.get("value")
        value = self.value if sent is None else sent.encode()
        return Message(self.place[0], self.key, value, {name: text.encode() for name, text in headers.items()})


@dataclass(slots=True)
class Books:
    """The contents of one database. `sql` stays in one read-only snapshot while the checks run."""

    source: Source
    sql: asyncpg.Connection
    groups: Sequence[Group] = ()
    positions: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    parked: set[tuple[str, str, bytes]] = field(default_factory=set)

    @property
    def service(self) -> str:
        return self.source.name

    async def look_at_positions(self) -> None:
        current = {row[0].rpartition(".")[0]: row[0] for row in await self.sql.fetch(CURRENT)}
        self.groups = [replace(each, name=current.get(each.name, each.name)) for each in self.source.groups]
        rows = await self.sql.fetch("SELECT * FROM consumer_position")
        self.positions = {
            (row["consumer_group"], TopicPartition(row["topic"], row["partition"])): row["next"] for row in rows
        }

    async def unpublished(self) -> int:
        return int(await self.sql.fetchval(DEPTH))

    async def unsettled(self) -> list[str]:
        """Describe the work that the service has still to finish."""
        retried = [f"{group} retries {count} blocked keys" for group, count in await self.sql.fetch(RETRIED)]
        return retried + [str(row[0]) for query in self.source.unsettled for row in await self.sql.fetch(query)]

    async def read(self) -> None:
        """Read the dead letters, which are few. All other tables are read in chunks, where they are compared."""
        self.dead_letters = [
            DeadLetter(
                row["consumer_group"],
                (row["topic"], row["partition"], row["offset"]),
                row["key"],
                row["value"],
                json.loads(row["headers"]),
                row["state"],
                json.loads(row["resolution"] or "{}"),
                bool(row["recent"]),
            )
            for row in await self.sql.fetch(DEAD_LETTERS)
        ]
        parked = await self.sql.fetch("SELECT * FROM parked_key")
        self.parked = {(row["consumer_group"], row["topic"], row["key"]) for row in parked}

    def outbox(self) -> AsyncIterator[list[asyncpg.Record]]:
        """Yield the committed events, in the order of their commit, in chunks."""
        return self._chunks(OUTBOX)

    async def committed_twice(self) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await self.sql.fetch(TWICE)
        return rows

    async def outbox_since(self) -> float | None:
        """Return when the oldest event was committed, in milliseconds since 1970. None without an event."""
        since = await self.sql.fetchval("SELECT min(created_at) FROM outbox")
        return since and float(since.timestamp() * 1000)

    async def committed(self, ids: Collection[str]) -> set[str]:
        return {row[0] for row in await self.sql.fetch(COMMITTED, ids)}

    def inbox(self) -> AsyncIterator[list[asyncpg.Record]]:
        """Yield the ids of handled events in chunks."""
        return self._chunks("SELECT event_id::text AS id FROM inbox ORDER BY event_id")

    async def handled(self, ids: Collection[str]) -> set[str]:
        return {row[0] for row in await self.sql.fetch(HANDLED, ids)}

    async def heads(self, group: str, topic: str, keys: Collection[str]) -> dict[tuple[str, str], int]:
        """Return the last sequence that the projection applied, by source and key."""
        rows = await self.sql.fetch(HEADS, group, topic, keys)
        return {(row["source"], row["key"]): row["sequence"] for row in rows}

    def all_heads(self) -> AsyncIterator[list[asyncpg.Record]]:
        """Yield the heads of all projections in chunks."""
        return self._chunks(ALL_HEADS)

    async def _chunks(self, query: str) -> AsyncIterator[list[asyncpg.Record]]:
        cursor = await self.sql.cursor(query)
        while rows := await cursor.fetch(CHUNK):
            yield rows

    def behind(self, ends: Mapping[TopicPartition, int]) -> dict[tuple[str, str], int]:
        """Return how many messages each group has still to consume, by group and topic."""
        lag: dict[tuple[str, str], int] = defaultdict(int)
        for group in self.groups:
            for tp, end in ends.items():
                if tp.topic in group.topics and (missing := end - self.positions.get((group.name, tp), 0)) > 0:
                    lag[group.name, tp.topic] += missing
        return dict(lag)

    @property
    def stuck(self) -> set[str]:
        """Return the keys with an open dead letter. Their later events wait until a person resolves it."""
        return {
            letter.key.decode("utf-8", "backslashreplace")
            for letter in self.dead_letters
            if letter.open and letter.key is not None
        }
