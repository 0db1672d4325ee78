"""Handle the records of one consumer group inside a unit. They are from Kafka, or from a table if redriven."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

from crossdock_chassis.database.outbox import MESSAGE_LIMIT_BYTES, message_size
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Unit, is_transient
from crossdock_chassis.messaging.reactions import Subscription, react_in_order
from crossdock_chassis.observability import metrics, tracing
from crossdock_events import Envelope, Event, Malformed, Message, TopicSpec, Unknown, name_of
from crossdock_events._envelope import STRUCTURED

CLAIM = """
    INSERT INTO inbox (event_id) SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id
    ON CONFLICT DO NOTHING RETURNING event_id
"""

ADVANCE = """
    INSERT INTO projection_head AS head (consumer_group, source, topic, key, sequence)
    SELECT $1, source, topic, key, sequence
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS new (source, topic, key, sequence)
    ORDER BY source, topic, key
    ON CONFLICT (consumer_group, source, topic, key) DO UPDATE SET sequence = excluded.sequence
    WHERE head.sequence < excluded.sequence
"""

HEADS = """
    SELECT source, topic, key, sequence FROM projection_head
    JOIN unnest($2::text[], $3::text[], $4::text[]) AS wanted (source, topic, key) USING (source, topic, key)
    WHERE consumer_group = $1
    ORDER BY source, topic, key FOR UPDATE OF projection_head
"""

PARKED = """
    SELECT topic, key FROM parked_key
    WHERE consumer_group = $1 AND (topic, key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))
    FOR SHARE
"""

PARK = "INSERT INTO parked_key (consumer_group, topic, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"

KEEP = """
    INSERT INTO dead_letter
        (consumer_group, topic, partition, "offset", key, value, headers, state, reason, fingerprint)
    SELECT $1, topic, partition, "offset", key, value, headers, state, reason, fingerprint
    FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::bytea[], $7::json[], $8::text[], $9::text[],
                $10::text[])
         AS new (topic, partition, "offset", key, value, headers, state, reason, fingerprint)
    ON CONFLICT (consumer_group, topic, partition, "offset") DO NOTHING
"""


MAX_KEY_BYTES = 1_000
"""Nothing parks behind a longer key. Keys of events are ids, and an index row of PostgreSQL holds 2,704 bytes.

The index `dead_letter_open` has the same limit (migration 0005). A query without the limit cannot use the index.
"""

PARKED_BEHIND = "an earlier event of this key is a dead letter"


@dataclass(frozen=True, slots=True)
class Record:
    """A message and its place on the log. `time` is the broker's timestamp in seconds since the epoch."""

    message: Message
    partition: int
    offset: int
    time: float


class VersionUnknown(Exception):
    """A subscribed event has a version that this build does not know. Skipping it would lose the event."""

    def __init__(self, ce_type: str) -> None:
        super().__init__(f"{ce_type} is newer than this build: deploy consumers first, then start again")


@dataclass(frozen=True, slots=True)
class _Item:
    record: Record
    envelope: Envelope[Event]

    @property
    def aggregate(self) -> tuple[str, bytes | None]:
        return _aggregate(self.record.message)


class Inbox:
    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription

    def refuses(self, record: Record) -> VersionUnknown | None:
        """Return an error if the partition must stop before this record. A known type costs a look at one header."""
        ce_type = _type_header(record.message)
        if ce_type in self.subscription.types:
            return None
        if ce_type is None:
            decoded = self.subscription.catalogue.decode(record.message)
            ce_type = decoded.type if isinstance(decoded, Unknown) else None
        if (
            ce_type is not None
            and ce_type not in self.subscription.types
            and name_of(ce_type) in self.subscription.names
        ):
            return VersionUnknown(ce_type)
        return None

    async def take(self, unit: Unit, records: Sequence[Record], *, careful: bool) -> int:
        """Decode, set poison and parked events aside, drop repeats, claim, react.

        Return how many of the records the group subscribes to, malformed ones included.

        If `careful`, a batch that raises is halved by key, under savepoints, until the failing event is alone. If not,
        the error is raised and the caller rolls the unit back.
        """
        items, malformed = self._decode(records)
        aside: list[tuple[Record, str, str]] = []
        parked = await self._parked(unit, [*items, *malformed])
        if malformed:
            await self._set_aside_malformed(unit, malformed, items, parked, aside)
        fresh: list[_Item] = []
        for item in items:
            if item.aggregate in parked:
                aside.append((item.record, "parked", PARKED_BEHIND))
            else:
                fresh.append(item)
        fresh = await self._claim(unit, fresh)
        if fresh:
            await self._lock(unit, fresh, careful=careful)
            if careful:
                await self._halve(unit, fresh, aside)
            else:
                await self._react(unit, fresh)
        if aside:
            await self._keep(unit, aside)
        return len(items) + len(malformed)

    async def apply(self, unit: Unit, record: Record) -> None:
        """Handle one record that was set aside, even if its key is parked. Raise any error of its reaction."""
        items, _ = self._decode([record])
        if fresh := await self._claim(unit, items):
            await self._react(unit, fresh)

    def _decode(self, records: Sequence[Record]) -> tuple[list[_Item], list[tuple[Record, str]]]:
        items: list[_Item] = []
        malformed: list[tuple[Record, str]] = []
        subscription = self.subscription
        for record in records:
            ce_type = _type_header(record.message)
            if ce_type is not None and ce_type not in subscription.types:
                metrics.UNKNOWN_TYPES.labels(subscription.group, _bounded(ce_type, subscription)).inc()
                continue
            match subscription.catalogue.decode(record.message):
                case Envelope() as envelope:
                    if envelope.event.ce_type in subscription.types:
                        items.append(_Item(record, envelope))
                case Malformed(reason=reason):
                    malformed.append((record, reason))
                case Unknown(type=ce_type):
                    metrics.UNKNOWN_TYPES.labels(subscription.group, _bounded(ce_type, subscription)).inc()
        return items, malformed

    async def _parked(self, unit: Unit, entries: Sequence[_Item | tuple[Record, str]]) -> set[tuple[str, bytes | None]]:
        aggregates = {
            aggregate
            for aggregate in (e.aggregate if isinstance(e, _Item) else _aggregate(e[0].message) for e in entries)
            if aggregate[1] is not None
        }
        if not aggregates:
            return set()
        ordered = sorted(aggregates)
        rows = await unit.sql.fetch(
            PARKED, self.subscription.group, [topic for topic, _ in ordered], [key for _, key in ordered]
        )
        return {(row["topic"], row["key"]) for row in rows}

    async def _set_aside_malformed(
        self,
        unit: Unit,
        malformed: Sequence[tuple[Record, str]],
        items: list[_Item],
        parked: set[tuple[str, bytes | None]],
        aside: list[tuple[Record, str, str]],
    ) -> None:
        """Set malformed records aside and park their keys. Earlier events of the key in the batch are still handled."""
        newly: set[tuple[str, bytes | None]] = set()
        for record, reason in malformed:
            aggregate = _aggregate(record.message)
            if aggregate in parked or aggregate in newly:
                aside.append((record, "parked", PARKED_BEHIND))
                continue
            aside.append((record, "poison", reason))
            if aggregate[1] is None:
                continue
            newly.add(aggregate)
            await unit.sql.execute(PARK, self.subscription.group, *aggregate)
            later = [i for i in items if i.aggregate == aggregate and i.record.offset > record.offset]
            for item in later:
                items.remove(item)
                aside.append((item.record, "parked", PARKED_BEHIND))

    async def _claim(self, unit: Unit, items: Sequence[_Item]) -> list[_Item]:
        """Claim the events not handled before. A batch may contain repeats, because a relay resends after a crash."""
        if not items:
            return []
        if self.subscription.kind == "projection":
            return await self._advance(unit, items)
        first: dict[UUID, _Item] = {}
        for item in items:
            first.setdefault(item.envelope.id, item)
        rows = await unit.sql.fetch(CLAIM, list(first))
        claimed = {row["event_id"] for row in rows}
        return [item for id, item in first.items() if id in claimed]

    async def _advance(self, unit: Unit, items: Sequence[_Item]) -> list[_Item]:
        group = self.subscription.group
        heads: dict[tuple[str, str, str], int] = {_lane(item.envelope): 0 for item in items}
        columns = [list(column) for column in zip(*sorted(heads), strict=True)]
        for row in await unit.sql.fetch(HEADS, group, *columns):
            heads[row["source"], row["topic"], row["key"]] = row["sequence"]
        fresh: list[_Item] = []
        for item in items:
            lane = _lane(item.envelope)
            if item.envelope.sequence > heads[lane]:
                heads[lane] = item.envelope.sequence
                fresh.append(item)
        if fresh:
            lanes = sorted({_lane(item.envelope) for item in fresh})
            columns = [list(column) for column in zip(*lanes, strict=True)]
            await unit.sql.execute(ADVANCE, group, *columns, [heads[lane] for lane in lanes])
        return fresh

    async def _lock(self, unit: Unit, items: Sequence[_Item], *, careful: bool) -> None:
        """Take all locks if the batch has several types or is halved. For one type its reaction takes them at once."""
        locks = self.subscription.locks
        if locks is not None and (careful or len({type(item.envelope.event) for item in items}) > 1):
            await locks(unit, [item.envelope for item in items])

    async def _react(self, unit: Unit, items: Sequence[_Item]) -> None:
        for reaction, batch in react_in_order(self.subscription.reactions, [item.envelope for item in items]):
            name = f"{self.subscription.group} {type(batch[0].event).__name__}"
            parents = [envelope.cause.traceparent for envelope in batch]
            began = perf_counter()
            try:
                with tracing.span(name, parents=parents, attributes={"batch": len(batch)}):
                    await reaction.do(unit, batch)
            finally:
                metrics.verb_seconds(reaction.verb, "reaction").observe(perf_counter() - began)
            unit.count(reaction.verb, len(batch))

    async def _halve(self, unit: Unit, items: Sequence[_Item], aside: list[tuple[Record, str, str]]) -> None:
        try:
            async with unit.savepoint():
                await self._react(unit, items)
            return
        except Exception as error:
            if is_transient(error):
                raise
            failure = error
        keys: dict[tuple[str, bytes | None], list[_Item]] = defaultdict(list)
        for item in items:
            keys[item.aggregate].append(item)
        if len(keys) > 1:
            half = len(keys) // 2
            parts = list(keys.values())
            await self._halve(unit, [item for part in parts[:half] for item in part], aside)
            await self._halve(unit, [item for part in parts[half:] for item in part], aside)
        elif len(items) > 1:
            await self._one_by_one(unit, items, aside)
        else:
            await self._poison(unit, items[0], failure, aside)

    async def _one_by_one(self, unit: Unit, items: Sequence[_Item], aside: list[tuple[Record, str, str]]) -> None:
        """Handle the events of one key in order. Park the events after a failing one."""
        for position, item in enumerate(items):
            before = len(aside)
            await self._halve(unit, [item], aside)
            if len(aside) > before:
                for later in items[position + 1 :]:
                    await self._unclaim(unit, later)
                    aside.append((later.record, "parked", PARKED_BEHIND))
                return

    async def _poison(self, unit: Unit, item: _Item, error: Exception, aside: list[tuple[Record, str, str]]) -> None:
        await self._unclaim(unit, item)
        aside.append((item.record, "poison", f"{type(error).__name__}: {error}"[:2000]))
        for reaction in self.subscription.reactions:
            if isinstance(item.envelope.event, reaction.event):
                unit.count(reaction.verb, 1, error)
        if item.aggregate[1] is not None:
            await unit.sql.execute(PARK, self.subscription.group, *item.aggregate)

    async def _unclaim(self, unit: Unit, item: _Item) -> None:
        """Release the claim so that a redrive can claim the event."""
        if self.subscription.kind == "reaction":
            await unit.sql.execute("DELETE FROM inbox WHERE event_id = $1", item.envelope.id)
        else:
            source, topic, key = _lane(item.envelope)
            await unit.sql.execute(
                "UPDATE projection_head SET sequence = least(sequence, $5) "
                "WHERE (consumer_group, source, topic, key) = ($1, $2, $3, $4)",
                self.subscription.group,
                source,
                topic,
                key,
                item.envelope.sequence - 1,
            )

    async def _keep(self, unit: Unit, aside: Sequence[tuple[Record, str, str]]) -> None:
        """Store events in the table, which is authoritative, and copy them to the dead-letter topic for people."""
        aside = [(record, state, storable(reason)) for record, state, reason in aside]
        aside.sort(key=lambda entry: (entry[0].message.topic, entry[0].partition, entry[0].offset))
        group = self.subscription.group
        await unit.sql.execute(
            KEEP,
            group,
            [record.message.topic for record, _, _ in aside],
            [record.partition for record, _, _ in aside],
            [record.offset for record, _, _ in aside],
            [record.message.key for record, _, _ in aside],
            [record.message.value for record, _, _ in aside],
            [headers_json(record.message) for record, _, _ in aside],
            [state for _, state, _ in aside],
            [reason for _, _, reason in aside],
            [fingerprint(reason) for _, _, reason in aside],
        )
        if self.subscription.kind == "reaction":
            for record, state, reason in aside:
                unit.mirror(_mirror(group, record, state, reason))


def dead_letter_topic(topic: str, group: str) -> str:
    return f"{topic}.{group}.dlq"


def dead_letter_spec(topic: str, group: str) -> TopicSpec:
    """Return the topic that copies dead letters for people. The table is authoritative, so one partition is enough."""
    config = {"cleanup.policy": "delete", "retention.ms": "-1"}
    return TopicSpec(dead_letter_topic(topic, group), 1, config)


def fingerprint(reason: str) -> str:
    """Return an id of the kind of failure, so that a thousand dead letters with one cause can be grouped."""
    kind = "".join("#" if c.isdigit() else c for c in reason.split(":", 1)[0])
    return hashlib.sha256(kind.encode()).hexdigest()[:12]


def headers_json(message: Message) -> str:
    """Return headers as JSON, each byte as one character (latin-1). NUL is escaped, because PostgreSQL refuses it."""
    return json.dumps({name: value.decode("latin-1") for name, value in message.headers.items()})


def headers_of(text: str) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in json.loads(text).items()}


def _aggregate(message: Message) -> tuple[str, bytes | None]:
    """Return the topic and the key that parks with a poison record: none if no index could hold it."""
    key = message.key
    return message.topic, key if key is not None and len(key) <= MAX_KEY_BYTES else None


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
    return Message(topic, _aggregate(message)[1], b"", about)


def _type_header(message: Message) -> str | None:
    """Return the type of a binary-mode event from its header, None if the event must be decoded."""
    headers = message.headers
    raw = headers.get("ce_type")
    if not raw or headers.get("content-type", b"").lower().startswith(STRUCTURED):
        return None
    return raw.decode("utf-8", "replace")


def _bounded(ce_type: str, subscription: Subscription) -> str:
    """Return a bounded label: the type if it is in the catalogue, else `other`."""
    try:
        return subscription.catalogue[ce_type].ce_type
    except KeyError:
        return "other"


def _lane(envelope: Envelope[Event]) -> tuple[str, str, str]:
    return envelope.source, envelope.event.topic.name, envelope.event.key
