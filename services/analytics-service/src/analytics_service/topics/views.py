"""Read from the log what each topic does now: few statements, each served by an index."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from analytics_service.log.keep import BY_INDEX
from analytics_service.log.retain import KEPT
from analytics_service.log.views import HEAD, Head, text_of
from analytics_service.topics.model import WINDOW, Activity, LastRecord, Progress, Recent, activity_of, reading_of
from crossdock_chassis import Database

GROUP: Final = "analytics-service.log"
"""The consumer group that keeps the log."""
MOST: Final = 6_000
"""Records that a rate is taken from: at more than 100 records a second the window is shorter than a minute."""
DAY: Final = timedelta(days=1)

PROGRESS: Final = """
    SELECT topic, next, log_end, handled_to, seen_at
    FROM consumer_position FULL JOIN consumer_progress USING (consumer_group, topic, partition)
    WHERE consumer_group = $1 AND topic = ANY ($2::text[])
"""

RECENT: Final = """
    WITH arrived AS (SELECT position FROM log_arrival WHERE at <= $1 ORDER BY at DESC, position DESC LIMIT 1),
    begin AS (SELECT coalesce((SELECT position - 1 FROM arrived), 0) AS wanted, $2::bigint - $3 AS bound)
    SELECT topic, type, count(*) AS count, min(kafka_time) AS oldest, (SELECT bound > wanted FROM begin) AS cut
    FROM log WHERE position > (SELECT greatest(wanted, bound) FROM begin) AND kafka_time > $1
    GROUP BY topic, type
"""

# The primary key finds the last record of a partition. The log has a table for each day, so `$3` is the start of a day:
# in the middle of a day it would be compared with each record.
LAST: Final = """
    SELECT DISTINCT ON (places.topic) places.topic, position, kafka_time, type, key
    FROM (
        SELECT topic, partition FROM consumer_position WHERE consumer_group = $1 AND topic = ANY ($2::text[])
    ) AS places
    CROSS JOIN LATERAL (
        SELECT position, kafka_time, type, key FROM log
        WHERE log.topic = places.topic AND log.partition = places.partition AND kafka_time >= $3
        ORDER BY "offset" DESC LIMIT 1
    ) AS newest
    ORDER BY places.topic, kafka_time DESC
"""


async def activities(database: Database, topics: Mapping[str, int]) -> Mapping[str, Activity]:
    """Return the activity of topics, which are given with their partitions."""
    names = list(topics)
    async with database.unit() as unit:
        await unit.sql.execute(BY_INDEX)
        head = Head(*await unit.sql.fetchrow(HEAD))
        progress: dict[str, list[Progress]] = defaultdict(list)
        for row in await unit.sql.fetch(PROGRESS, GROUP, names):
            progress[row["topic"]].append(Progress(row["next"], row["log_end"], row["handled_to"], row["seen_at"]))
        recent = _recent(await unit.sql.fetch(RECENT, unit.now - WINDOW, head.position, MOST), unit.now)
        last = await _last(unit.sql, names, unit.now - DAY, head)
        if older := [name for name in names if name not in last]:
            last |= await _last(unit.sql, older, unit.now - KEPT, head)
    return {
        name: activity_of(name, reading_of(progress[name], partitions, unit.now), recent, last.get(name))
        for name, partitions in topics.items()
    }


async def _last(sql: asyncpg.Connection, topics: Collection[str], since: datetime, head: Head) -> dict[str, LastRecord]:
    """Return the newest record of each topic that has one since the day of a time."""
    day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        row["topic"]: LastRecord(
            cursor=head.cursor(row["position"]), time=row["kafka_time"], type=row["type"], key=text_of(row["key"])
        )
        for row in await sql.fetch(LAST, GROUP, topics, day)
    }


def _recent(rows: Collection[asyncpg.Record], now: datetime) -> Recent:
    counts: dict[str, dict[str | None, int]] = defaultdict(dict)
    for row in rows:
        counts[row["topic"]][row["type"]] = row["count"]
    seconds = WINDOW.total_seconds()
    if any(row["cut"] for row in rows):
        seconds = max(1.0, (now - min(row["oldest"] for row in rows)).total_seconds())
    return Recent(counts, seconds)
