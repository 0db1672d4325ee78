"""Read the Kafka log from offset 0, as every consumer could."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from crossdock_cli.errors import CommandError
from crossdock_events import CATALOGUE, Envelope, Event, Message, Unknown

Place: TypeAlias = tuple[str, int, int]
"""Topic, partition, offset."""

READ_SECONDS = 120.0
ANSWER_SECONDS = 20.0
PARTITION_BYTES = 8 << 20


class Entry(NamedTuple):
    """One record. If it is no readable event, `type` and `source` are "", `id` is None and `sequence` is 0."""

    topic: str
    partition: int
    offset: int
    milliseconds: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    type: str
    id: str | None
    sequence: int
    source: str

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset

    @property
    def name(self) -> str:
        """Return a readable description: type, sequence, key and place."""
        what = f"{self.type.removeprefix('crossdock.')} #{self.sequence}" if self.type else "a record"
        key = "no key" if self.key is None else self.key.decode("utf-8", "backslashreplace")
        return f"{what} of {key} ({self.topic}/{self.partition}/{self.offset})"

    @property
    def data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = json.loads(self.value)
        return data

    @property
    def message(self) -> Message:
        return Message(self.topic, self.key, self.value, dict(self.headers))


@dataclass(slots=True)
class Log:
    """All records by topic, each partition in the order of its offsets."""

    topics: dict[str, list[Entry]]
    _by_key: dict[str, dict[str, list[Entry]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.topics.values()))

    def without(self, places: Collection[Place]) -> "Log":
        if not places:
            return self
        return Log({topic: [e for e in entries if e.place not in places] for topic, entries in self.topics.items()})

    def firsts(self, topic: str) -> list[Entry]:
        """Return each event once, as a consumer that ignores repeated ids handles them."""
        seen: set[str | None] = {None}
        return [e for e in self.topics.get(topic, ()) if e.id not in seen and not seen.add(e.id)]  # type: ignore[func-returns-value]

    def by_key(self, topic: str) -> dict[str, list[Entry]]:
        """Return the events of `firsts` by their key."""
        if topic in self._by_key:
            return self._by_key[topic]
        keys = self._by_key[topic] = defaultdict(list)
        for entry in self.firsts(topic):
            if entry.key is not None:
                keys[entry.key.decode("utf-8", "backslashreplace")].append(entry)
        return keys

    def events(self, of: type[Event]) -> Mapping[str, Sequence[Entry]]:
        """Return `by_key` for the topic of this event class. The checks of services call it."""
        return self.by_key(of.topic.name)


class Reader:
    """One consumer without a group, so that it commits no offsets on the broker."""

    def __init__(self, bootstrap: str, topics: Collection[str]) -> None:
        self._bootstrap, self._topics = bootstrap, sorted(topics)
        self._consumer = AIOKafkaConsumer(
            *self._topics,
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=PARTITION_BYTES,
            fetch_max_bytes=8 * PARTITION_BYTES,
        )

    async def __aenter__(self) -> "Reader":
        try:
            await asyncio.wait_for(self._consumer.start(), ANSWER_SECONDS)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._stop()
            raise CommandError(f"Kafka at {self._bootstrap} does not answer: is everything up?") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        try:
            await asyncio.wait_for(self._consumer.stop(), ANSWER_SECONDS)
        except TimeoutError:
            return

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of each partition. Raise CommandError if a topic does not exist."""
        if missing := [topic for topic in self._topics if not self._consumer.partitions_for_topic(topic)]:
            raise CommandError(f"Kafka at {self._bootstrap} has no topic {', '.join(missing)}: is everything up?")
        partitions = [TopicPartition(t, p) for t in self._topics for p in self._consumer.partitions_for_topic(t) or ()]
        ends: Mapping[TopicPartition, int] = await asyncio.wait_for(
            self._consumer.end_offsets(partitions), ANSWER_SECONDS
        )
        return dict(ends)

    async def read(self, ends: Mapping[TopicPartition, int]) -> Log:
        """Read all records below these end offsets. Raise CommandError if that takes longer than READ_SECONDS."""
        found: dict[TopicPartition, list[Entry]] = {tp: [] for tp in ends}
        missing = {tp for tp, end in ends.items() if end > 0}
        await self._consumer.seek_to_beginning(*ends)
        deadline = time.monotonic() + READ_SECONDS
        while missing:
            batches = await self._consumer.getmany(*missing, timeout_ms=200)
            for tp, records in batches.items():
                found[tp] += [_entry(record) for record in records if record.offset < ends[tp]]
            for tp in list(missing):
                if await self._consumer.position(tp) >= ends[tp]:
                    missing.discard(tp)
            if missing and time.monotonic() > deadline:
                raise CommandError(f"{len(missing)} partitions were not read within {READ_SECONDS:.0f} s: try again.")
        topics: dict[str, list[Entry]] = {topic: [] for topic in self._topics}
        for tp in sorted(found):
            topics[tp.topic] += found[tp]
        return Log(topics)


def _entry(record: "ConsumerRecord[bytes, bytes]") -> Entry:
    headers = {name: value for name, value in record.headers if value is not None}
    ce_type, event_id, sequence, source = "", None, 0, ""
    try:
        ce_type = headers["ce_type"].decode()
        event_id = headers["ce_id"].decode()
        sequence = int(headers["ce_sequence"])
        source = headers["ce_source"].decode()
    except (KeyError, ValueError):
        ce_type, event_id, sequence, source = _read(Message(record.topic, record.key, record.value or b"", headers))
    return Entry(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value or b"",
        tuple(headers.items()),
        ce_type,
        event_id,
        sequence,
        source,
    )


def _read(message: Message) -> tuple[str, str | None, int, str]:
    """Decode a record that is not in binary mode, or that is no event."""
    decoded = CATALOGUE.decode(message)
    if isinstance(decoded, Envelope):
        return decoded.event.ce_type, str(decoded.id), decoded.sequence, decoded.source
    return (decoded.type, None, 0, "") if isinstance(decoded, Unknown) else ("", None, 0, "")
