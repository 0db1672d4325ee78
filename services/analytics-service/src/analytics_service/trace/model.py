"""The way of an order through the services, from the headers of its records alone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, Field

RESOLUTION: Final = timedelta(milliseconds=1)
"""Kafka's times have whole milliseconds, so a time may be up to one too early."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record of the order. `event_time` is when the unit began that published it."""

    cursor: str
    topic: str
    key: str | None
    kafka_time: datetime
    event_time: datetime | None
    type: str | None
    id: UUID | None
    source: str | None
    sequence: int | None
    causation_id: UUID | None
    repeat: bool


class Clocks(BaseModel):
    """Two clocks that disagree: an effect has an earlier time than its cause."""

    of: Annotated[str, Field(description="The service whose clock is behind, or the other one is ahead")]
    than: str
    milliseconds: Annotated[float, Field(description="How much at least")]


class Step(BaseModel):
    """One record of the order."""

    cursor: Annotated[str, Field(description="`GET /v1/events/{id}` shows the record")]
    topic: str
    type: Annotated[str | None, Field(description="Null if it is no event")]
    id: UUID | None
    source: str | None
    sequence: int | None
    kafka_time: Annotated[datetime, Field(description="When it reached Kafka")]
    began_at: Annotated[datetime | None, Field(description="When the transaction began that published it")]
    caused_by: Annotated[UUID | None, Field(description="The event to which it is the reaction; null for a request")]
    in_kafka_ms: Annotated[
        float | None, Field(description="From the arrival of its cause in Kafka to the beginning of the reaction")
    ]
    to_kafka_ms: Annotated[
        float | None, Field(description="From that beginning to Kafka: the reaction, its commit and the outbox")
    ]
    repeat: Annotated[bool, Field(description="The topic had it before: a relay sent it again")]
    dead_letter: Annotated[bool, Field(description="A copy of an event that a consumer group could not handle")]
    clocks: Annotated[Clocks | None, Field(description="Set if the clocks do not allow one of the times")]


class Gap(BaseModel):
    """Events that the log does not have. Earlier ones may be older than its retention."""

    source: str
    topic: str
    first: Annotated[int, Field(description="The first missing sequence")]
    last: int


class Trace(BaseModel):
    """All records of an order in the order of Kafka's time."""

    order_id: UUID
    correlation_id: UUID | None
    steps: list[Step]
    gaps: list[Gap]
    total_ms: Annotated[
        float | None, Field(description="From the first transaction to the last record that is no copy")
    ]
    more: Annotated[bool, Field(description="The order has more records than are shown")]


def trace(order_id: UUID, correlation_id: UUID | None, records: Sequence[Found], *, more: bool) -> Trace:
    """Return the trace of an order. `records` are in the order of the log."""
    first: dict[UUID, Found] = {}
    for each in records:
        if each.id is not None and not _is_dead_letter(each):
            first.setdefault(each.id, each)
    ordered = sorted(records, key=lambda each: each.kafka_time)
    own = [each for each in ordered if not (each.repeat or _is_dead_letter(each))]
    began = [each.event_time for each in own if each.event_time is not None]
    return Trace(
        order_id=order_id,
        correlation_id=correlation_id,
        steps=[_step(each, first) for each in ordered],
        gaps=list(_gaps(own)),
        total_ms=_milliseconds(own[-1].kafka_time - min(began)) if began else None,
        more=more,
    )


def _step(record: Found, first: dict[UUID, Found]) -> Step:
    copy = record.repeat or _is_dead_letter(record)
    cause = None if record.causation_id is None else first.get(record.causation_id)
    if copy and record.id is not None:  # a copy waited since its first record, and nobody reacted
        cause = first.get(record.id)
    waited = sent = None
    clocks: Clocks | None = None
    if cause is not None:
        until = record.kafka_time if copy else record.event_time
        waited, clocks = _between(cause.kafka_time, until, record.source, cause.source)
    if not copy:
        sent, disagree = _between(record.event_time, record.kafka_time, "Kafka", record.source)
        clocks = clocks or disagree
    return Step(
        cursor=record.cursor,
        topic=record.topic,
        type=record.type,
        id=record.id,
        source=record.source,
        sequence=record.sequence,
        kafka_time=record.kafka_time,
        began_at=record.event_time,
        caused_by=record.causation_id,
        in_kafka_ms=waited,
        to_kafka_ms=sent,
        repeat=record.repeat,
        dead_letter=_is_dead_letter(record),
        clocks=clocks,
    )


def _between(
    start: datetime | None, end: datetime | None, of: str | None, than: str | None
) -> tuple[float | None, Clocks | None]:
    """Return the milliseconds between two times, or the clocks that do not allow them."""
    if start is None or end is None:
        return None, None
    if end - start < -RESOLUTION:
        behind = Clocks(of=of or "unknown", than=than or "unknown", milliseconds=_milliseconds(start - end))
        return None, behind
    return max(0.0, _milliseconds(end - start)), None


def _milliseconds(time: timedelta) -> float:
    return round(time / timedelta(milliseconds=1), 3)


def _gaps(records: Sequence[Found]) -> Iterator[Gap]:
    """Yield what is missing between the sequences of each key, which begin with 1 and have no gap."""
    lanes: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for each in records:
        if each.source is not None and each.sequence is not None and each.key is not None:
            lanes[each.source, each.topic, each.key].add(each.sequence)
    for (source, topic, _), found in sorted(lanes.items()):
        before = 0
        for sequence in sorted(found):
            if sequence > before + 1:
                yield Gap(source=source, topic=topic, first=before + 1, last=sequence - 1)
            before = sequence


def _is_dead_letter(record: Found) -> bool:
    return record.topic.endswith(".dlq")
