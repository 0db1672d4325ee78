"""The invariants of the log, for `crossdock verify`: it holds each record of Kafka within the retention once, whole."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from analytics_service.log.keep import EPOCH
from analytics_service.log.retain import KEPT
from crossdock_chassis import AtRest, Check, CheckAtRest, LogRecord, headers_of

CHUNK: Final = 1_000
MARGIN: Final = timedelta(hours=1)
"""Records this close to the end of the retention are not compared, because they may be dropped meanwhile."""

# Kafka's topics sort by the bytes of their names.
STORED: Final = """
    SELECT topic, partition, "offset", kafka_time, key, value, headers::text AS headers FROM log
    WHERE kafka_time >= $1 ORDER BY topic COLLATE "C", partition, "offset", kafka_time
"""

GAP: Final = """
    SELECT format('%s positions from %s to %s', count(*), forgotten + 1, log_head.position)
    FROM log_head LEFT JOIN log ON log.position > forgotten
    GROUP BY forgotten, log_head.position
    HAVING count(log.position) <> log_head.position - forgotten OR count(DISTINCT log.position) <> count(log.position)
        OR max(log.position) > log_head.position
"""

DISORDER: Final = """
    SELECT format('%s/%s/%s is at position %s, behind a later offset', topic, partition, "offset", position)
    FROM (
        SELECT topic, partition, "offset", position, kafka_time,
               max("offset") OVER (PARTITION BY topic, partition ORDER BY position ROWS UNBOUNDED PRECEDING) AS highest
        FROM log
    ) AS placed
    WHERE "offset" < highest
"""


async def _differences(at_rest: AtRest) -> AsyncIterator[str]:
    """Read Kafka and the log side by side, both by place, and yield what one of them lacks or has otherwise."""
    oldest = await at_rest.sql.fetchval("SELECT now()") - KEPT + MARGIN
    kafka = (each for each in at_rest.whole.everything() if EPOCH + timedelta(milliseconds=each.milliseconds) >= oldest)
    expected = next(kafka, None)
    async for row in at_rest.sql.cursor(STORED, oldest, prefetch=CHUNK):
        place = row["topic"], row["partition"], row["offset"]
        while expected is not None and _place(expected) < place:
            yield f"{_named(expected)} is not in the log"
            expected = next(kafka, None)
        if expected is None or _place(expected) != place:
            yield f"{place[0]}/{place[1]}/{place[2]} is in the log once more than on Kafka"
            continue
        if not _equal(row, expected):
            yield f"{_named(expected)} is another record in the log"
        expected = next(kafka, None)
    for missing in _rest(expected, kafka):
        yield f"{_named(missing)} is not in the log"


def _rest(first: LogRecord | None, others: Iterator[LogRecord]) -> Iterator[LogRecord]:
    if first is not None:
        yield first
        yield from others


def _equal(row: Any, record: LogRecord) -> bool:
    return (row["key"], row["value"], headers_of(row["headers"]), _milliseconds(row["kafka_time"])) == (
        record.key,
        record.value,
        dict(record.headers),
        record.milliseconds,
    )


def _milliseconds(time: datetime) -> int:
    return round((time - EPOCH) / timedelta(milliseconds=1))


def _place(record: LogRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _named(record: LogRecord) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


NOT_THE_RECORDS: Final = CheckAtRest(5, "lost", "records of the log that are not those of Kafka", _differences)
GAPS: Final = Check(5, "lost", "positions of the log with a gap", GAP)
OUT_OF_ORDER: Final = Check(5, "other", "records of the log before an earlier record of their partition", DISORDER)

CHECKS: Final = (NOT_THE_RECORDS, GAPS, OUT_OF_ORDER)
