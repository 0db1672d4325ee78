"""Keep each record of Kafka, whole, at the next position of the log."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Final

from analytics_service.log.model import Facts, facts_of
from analytics_service.log.retain import KEPT, LOG
from crossdock_chassis import Database, Record, Unit, headers_json, make_partition

COLUMNS: Final = (
    "position",
    "kafka_time",
    "topic",
    "partition",
    "offset",
    "key",
    "value",
    "headers",
    "type",
    "event_id",
    "source",
    "sequence",
    "correlation_id",
    "causation_id",
    "order_id",
    "partner",
    "repeat",
    "trace_id",
)

# The plan of a prepared statement may have been made when the table was empty.
BY_INDEX: Final = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"

STORED: Final = """
    SELECT topic, partition, "offset" FROM log
    JOIN unnest($1::text[], $2::int[], $3::bigint[]) AS new (topic, partition, "offset")
        USING (topic, partition, "offset")
    WHERE kafka_time >= $4
"""

KNOWN: Final = "SELECT topic, event_id FROM log WHERE event_id = ANY($1::uuid[]) AND kafka_time >= $2"

# The row lock is held to the commit. So positions become visible in their order, and a reader misses none.
DRAW: Final = "UPDATE log_head SET position = position + $1 RETURNING position - $1"

ARRIVED: Final = "INSERT INTO log_arrival (position, at) VALUES ($1, clock_timestamp()) ON CONFLICT DO NOTHING"

CHANNEL: Final = "log"
NOTIFY: Final = "SELECT pg_notify($1, $2)"

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, the last that a time can have. Any client may write another timestamp."""

REPEATED_WITHIN: Final = timedelta(hours=96)
"""A relay sends an event again for at most 72 hours."""
SKEW: Final = timedelta(hours=1)
ARRIVAL_SECONDS: Final = 5.0


class Keeper:
    """The handler of the log's subscription. One object is used by one consumer at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._days: set[date] = set()
        self._arrived = 0.0

    async def __call__(self, unit: Unit, records: Sequence[Record], *, again: bool) -> None:
        """Store the records that are not older than the retention, in their order within each partition.

        The lock on the position is taken last, so that two workers prepare their rows side by side.
        """
        timed = [(record, time_of(record)) for record in records]
        timed = [(record, at) for record, at in timed if at >= unit.now - KEPT]
        await self._make_partitions({at.date() for _, at in timed}, unit.now)
        await unit.sql.execute(BY_INDEX)
        if again:
            timed = await _not_stored(unit, timed)
        if not timed:
            return
        facts = [facts_of(record.message) for record, _ in timed]
        repeats = await _repeats(unit, timed, facts)
        rows = [
            _row(record, at, fact, repeat) for (record, at), fact, repeat in zip(timed, facts, repeats, strict=True)
        ]
        first = 1 + await unit.sql.fetchval(DRAW, len(rows))
        rows = [(first + n, *row) for n, row in enumerate(rows)]
        await unit.sql.copy_records_to_table("log", records=rows, columns=COLUMNS)
        if monotonic() - self._arrived > ARRIVAL_SECONDS:
            await unit.sql.execute(ARRIVED, first)
            self._arrived = monotonic()
        unit.notifies = True
        await unit.sql.execute(NOTIFY, CHANNEL, str(first + len(rows) - 1))

    async def _make_partitions(self, days: set[date], now: datetime) -> None:
        """Make the partitions of new days that are not in the future. Other rows go to the default partition."""
        for day in sorted(days - self._days):
            if day <= now.date():
                await make_partition(self._database.unit, LOG, day)
                self._days.add(day)


def time_of(record: Record) -> datetime:
    """Return Kafka's time of a record, or the nearest time that the table can hold."""
    return EPOCH + timedelta(seconds=min(max(record.time, 0.0), float(LAST_SECOND)))


async def _not_stored(unit: Unit, timed: Sequence[tuple[Record, datetime]]) -> list[tuple[Record, datetime]]:
    """Leave out the records that are in the log: a person may have set the position back."""
    places = [(record.message.topic, *record.at) for record, _ in timed]
    columns = [list(column) for column in zip(*places, strict=True)] or [[], [], []]
    oldest = min((at for _, at in timed), default=EPOCH)
    stored = {tuple(row) for row in await unit.sql.fetch(STORED, *columns, oldest)}
    return [each for each, place in zip(timed, places, strict=True) if place not in stored]


async def _repeats(unit: Unit, timed: Sequence[tuple[Record, datetime]], facts: Sequence[Facts]) -> list[bool]:
    """Return for each record whether the topic had its event id before, in the log or in this batch."""
    bounds = [_first_possible(fact, at) for fact, (_, at) in zip(facts, timed, strict=True) if fact.event_id]
    ids = [fact.event_id for fact in facts if fact.event_id]
    known = {tuple(row) for row in await unit.sql.fetch(KNOWN, ids, min(bounds))} if ids else set()
    found = []
    for (record, _), fact in zip(timed, facts, strict=True):
        place = record.message.topic, fact.event_id
        found.append(fact.event_id is not None and place in known)
        known.add(place)
    return found


def _first_possible(fact: Facts, at: datetime) -> datetime:
    """Return the earliest time at which the event can be on Kafka. An id of version 7 has its own time."""
    id = fact.event_id
    if id is not None and id.version == 7:
        return min(at, EPOCH + timedelta(milliseconds=min(id.int >> 80, LAST_SECOND))) - SKEW
    return at - REPEATED_WITHIN


def _row(record: Record, at: datetime, fact: Facts, repeat: bool) -> tuple[object, ...]:
    """Return all columns but the position."""
    message = record.message
    return (
        at,
        message.topic,
        record.partition,
        record.offset,
        message.key,
        message.value,
        headers_json(message),
        fact.type,
        fact.event_id,
        fact.source,
        fact.sequence,
        fact.correlation_id,
        fact.causation_id,
        fact.order_id,
        fact.partner,
        repeat,
        fact.trace_id,
    )
