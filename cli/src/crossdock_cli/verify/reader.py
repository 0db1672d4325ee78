"""Read the Kafka log from offset 0, as every consumer could."""

import asyncio
import time
from collections.abc import Collection, Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from crossdock_cli.broker import broker
from crossdock_cli.errors import CommandError
from crossdock_cli.verify.log import Entry, Log
from crossdock_events import CATALOGUE, Envelope, Message, Unknown

PAUSE_SECONDS = 60.0
"""How long the log may give nothing before reading it fails."""

ANSWER_SECONDS = 20.0
PARTITION_BYTES = 2 << 20
RECORDS = 5_000
"""How many records are parsed at once: a parsed record takes several times its bytes."""


class Reader:
    """One consumer without a group, so that it commits no offsets on the broker."""

    def __init__(self, bootstrap: str, topics: Collection[str]) -> None:
        self._bootstrap, self._topics = bootstrap, sorted(topics)
        self._consumer = AIOKafkaConsumer(
            *self._topics,
            **broker(bootstrap).options,
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
        """Read all records below these end offsets. Raise CommandError if nothing arrives for PAUSE_SECONDS."""
        log = Log()
        missing = {tp for tp, end in ends.items() if end > 0}
        await self._consumer.seek_to_beginning(*ends)
        deadline = time.monotonic() + PAUSE_SECONDS
        while missing:
            batches = await self._consumer.getmany(*missing, timeout_ms=200, max_records=RECORDS)
            for tp, records in batches.items():
                log.extend(_entry(record) for record in records if record.offset < ends[tp])
                deadline = time.monotonic() + PAUSE_SECONDS
            for tp in list(missing):
                if await self._consumer.position(tp) >= ends[tp]:
                    missing.discard(tp)
            if missing and time.monotonic() > deadline:
                raise CommandError(f"{len(missing)} partitions gave nothing for {PAUSE_SECONDS:.0f} s: try again.")
        return log


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
