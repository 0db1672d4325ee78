"""Read and write what was seen of Kafka's consumer groups."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from analytics_service.consumers.model import End, Group, Place, Position, Unread
from crossdock_chassis import columns

KEPT: Final = timedelta(days=14)
"""How long a group is remembered that Kafka has forgotten. Kafka itself keeps positions for 7 days without members."""
PLOTTED: Final = timedelta(hours=1)
PLOT_EVERY: Final = timedelta(seconds=10)

LAST: Final = "SELECT answered_at, error FROM kafka_look"
ENDS: Final = 'SELECT topic, partition, "end", inflow FROM kafka_end'
GROUPS: Final = "SELECT * FROM kafka_group"
POSITIONS: Final = 'SELECT * FROM kafka_position ORDER BY "group", topic, partition'
PLOTTED_AT: Final = "SELECT max(at) FROM kafka_lag"

# No disk write is awaited: after a crash of the server the next look has newer figures.
LOOKED: Final = """
    INSERT INTO kafka_look AS known (answered_at, tried_at, error, left_out) VALUES ($1, $2, $3, $4)
    ON CONFLICT (one) DO UPDATE
    SET answered_at = coalesce(excluded.answered_at, known.answered_at), tried_at = excluded.tried_at,
        error = excluded.error, left_out = excluded.left_out
    RETURNING set_config('synchronous_commit', 'off', true)
"""

PUT_ENDS: Final = """
    INSERT INTO kafka_end (topic, partition, "end", inflow)
    SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::float8[])
    ON CONFLICT (topic, partition) DO UPDATE SET "end" = excluded."end", inflow = excluded.inflow
"""

GROUP_COLUMNS: Final = (
    "name", "owner", "kafka_state", "members", "replaced", "lag", "unread_since", "rate", "inflow", "partitions",
    "uncommitted", "first_seen_at", "active_at", "answered_at", "forgotten_at",
)  # fmt: skip
POSITION_COLUMNS: Final = (
    "position", "unread_since", "rate", "moved_at", "reads", "member", "forgotten_at",
)  # fmt: skip

# `unnest` cannot return arrays, so the topics come as JSON.
PUT_GROUPS: Final = f"""
    INSERT INTO kafka_group ({", ".join(GROUP_COLUMNS)}, topics)
    SELECT {", ".join(GROUP_COLUMNS)}, ARRAY(SELECT json_array_elements_text(listed::json))
    FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bool[], $6::bigint[], $7::timestamptz[],
                $8::float8[], $9::float8[], $10::int[], $11::int[], $12::timestamptz[], $13::timestamptz[],
                $14::timestamptz[], $15::timestamptz[], $16::text[]) AS new ({", ".join(GROUP_COLUMNS)}, listed)
    ON CONFLICT (name) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in (*GROUP_COLUMNS[1:], "topics"))}
"""

PUT_POSITIONS: Final = f"""
    INSERT INTO kafka_position ("group", topic, partition, {", ".join(POSITION_COLUMNS)})
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::timestamptz[], $6::float8[],
                         $7::timestamptz[], $8::bool[], $9::text[], $10::timestamptz[])
    ON CONFLICT ("group", topic, partition) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in POSITION_COLUMNS)}
"""

DROP_POSITIONS: Final = """
    DELETE FROM kafka_position USING unnest($1::text[], $2::text[], $3::int[]) AS gone ("group", topic, partition)
    WHERE (kafka_position."group", kafka_position.topic, kafka_position.partition)
        = (gone."group", gone.topic, gone.partition)
"""

PLOT: Final = """
    INSERT INTO kafka_lag ("group", at, lag, seconds)
    SELECT name, $1, lag, greatest(0, extract(epoch FROM $1 - coalesce(unread_since, $1)))
    FROM kafka_group WHERE answered_at = $1 ON CONFLICT DO NOTHING
"""
UNPLOT: Final = "DELETE FROM kafka_lag WHERE at < $1"

FORGET: Final = "DELETE FROM kafka_group WHERE name = ANY($1::text[])"
FORGET_POSITIONS: Final = 'DELETE FROM kafka_position WHERE "group" = ANY($1::text[])'

# The log of a day is a partition with an index of its own. The record is read from each of them.
BY_INDEX: Final = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"
TIMES: Final = """
    SELECT topic, partition, position, coalesce(
        (SELECT kafka_time FROM log
         WHERE log.topic = wanted.topic AND log.partition = wanted.partition AND log."offset" >= wanted.position
         ORDER BY log."offset" LIMIT 1),
        (SELECT kafka_time FROM log
         WHERE log.topic = wanted.topic AND log.partition = wanted.partition AND log."offset" = wanted.position - 1
         LIMIT 1)
    ) AS at
    FROM unnest($1::text[], $2::int[], $3::bigint[]) AS wanted (topic, partition, position)
"""


class Known(NamedTuple):
    """What was known before a look. `answered_at` is the time of the last look that Kafka answered."""

    answered_at: datetime | None
    ends: Mapping[Place, End]
    groups: Mapping[str, Group]


async def load(sql: asyncpg.Connection) -> Known:
    last = await sql.fetchrow(LAST)
    ends = {Place(row[0], row[1]): End(row[2], row[3]) for row in await sql.fetch(ENDS)}
    positions: dict[str, dict[Place, Position]] = {}
    for row in await sql.fetch(POSITIONS):
        at = Position(**{name: row[name] for name in POSITION_COLUMNS})
        positions.setdefault(row["group"], {})[Place(row["topic"], row["partition"])] = at
    stored = [each.name for each in fields(Group) if each.name != "positions"]
    groups = {
        row["name"]: Group(**{name: row[name] for name in stored}, positions=positions.get(row["name"], {}))
        for row in await sql.fetch(GROUPS)
    }
    return Known(None if last is None else last["answered_at"], ends, groups)


async def times_of(sql: asyncpg.Connection, unread: Collection[Unread]) -> dict[Unread, datetime]:
    """Return Kafka's time of each record. If the log does not have it yet, return the time of the one before."""
    if not unread:
        return {}
    await sql.execute(BY_INDEX)
    columns = [list(column) for column in zip(*unread, strict=True)]
    return {Unread(*row[:3]): row["at"] for row in await sql.fetch(TIMES, *columns) if row["at"] is not None}


async def save_failure(sql: asyncpg.Connection, now: datetime, error: str) -> None:
    await sql.execute(LOOKED, None, now, error, 0)


async def save(
    sql: asyncpg.Connection,
    now: datetime,
    known: Known,
    ends: Mapping[Place, End],
    groups: Sequence[Group],
    left_out: int,
) -> None:
    """Write what has changed, and forget the groups that Kafka has forgotten long ago."""
    await sql.execute(LOOKED, now, now, None, left_out)
    if changed := [(*place, at.end, at.inflow) for place, at in ends.items() if known.ends.get(place) != at]:
        await sql.execute(PUT_ENDS, *columns(changed))
    gone = [each.name for each in groups if each.forgotten_at is not None and each.forgotten_at < now - KEPT]
    groups = [each for each in groups if each.name not in gone]
    await _save_groups(sql, known, groups)
    if gone:
        await sql.execute(FORGET, gone)
        await sql.execute(FORGET_POSITIONS, gone)
    plotted_at = await sql.fetchval(PLOTTED_AT)
    if plotted_at is None or now - plotted_at >= PLOT_EVERY:
        await sql.execute(PLOT, now)
        await sql.execute(UNPLOT, now - PLOTTED)


async def _save_groups(sql: asyncpg.Connection, known: Known, groups: Sequence[Group]) -> None:
    if groups:
        rows = [(*(getattr(each, name) for name in GROUP_COLUMNS), json.dumps(each.topics)) for each in groups]
        await sql.execute(PUT_GROUPS, *columns(rows))
    put, dropped = [], []
    for group in groups:
        before = known.groups[group.name].positions if group.name in known.groups else {}
        for place, at in group.positions.items():
            if before.get(place) != at:
                put.append((group.name, *place, *(getattr(at, name) for name in POSITION_COLUMNS)))
        dropped += [(group.name, *place) for place in before if place not in group.positions]
    if put:
        await sql.execute(PUT_POSITIONS, *columns(put))
    if dropped:
        await sql.execute(DROP_POSITIONS, *columns(dropped))
