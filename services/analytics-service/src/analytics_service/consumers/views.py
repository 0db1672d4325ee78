"""What operators see of the consumer groups, and the queries behind it."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import BaseModel, Field

from analytics_service.consumers.model import seconds_to_clear
from crossdock_chassis import Cursor, Page, Problem, Refusal

CONSUMERS: Final[Cursor[str]] = Cursor("consumers", str)
NO_SUCH_GROUP: Final = Problem(404, "no-such-consumer-group", "No consumer group of this name is known")

KNOWN_FOR: Final = timedelta(seconds=30)
"""What was seen longer ago is unknown now."""
MAX_PARTITIONS: Final = 5_000

GroupStatus = Literal["active", "rebalancing", "empty", "replaced", "forgotten", "unknown"]
PositionStatus = Literal["committed", "none", "not_read", "forgotten", "unknown"]

_STATUS = (
    "`active`: it has members. `rebalancing`: its members share the partitions anew. `empty`: it has no member, so its "
    "lag grows. `replaced`: a newer generation of its projection reads. `forgotten`: Kafka no longer has it. It is "
    "remembered for 14 days. `unknown`: Kafka could not be asked"
)
_LAG = "Records that it has not read, over the partitions with a position; null if that is not known"
_UNREAD = "Kafka's time of the oldest record that it has not read; null without a lag or if the lag is not known"
_POSITION_STATUS = (
    "`committed`: it has a position. `none`: it reads the partition and has committed nothing yet. `not_read`: it has "
    "a position and no longer reads the topic. `forgotten`: Kafka no longer has the position, and this was the last. "
    "`unknown`: Kafka could not be asked"
)


class Sampling(BaseModel):
    """How recent the figures are: Kafka is asked every 5 seconds."""

    known: Annotated[bool, Field(description="False: Kafka does not answer, or nobody asks. All lags are unknown")]
    answered_at: Annotated[datetime | None, Field(description="When Kafka has last answered")]
    error: Annotated[str | None, Field(description="Why it did not answer since then")]
    left_out: Annotated[int, Field(description="Groups of Kafka that are not shown, because there are too many")]


class ConsumerGroup(BaseModel):
    """One consumer group of Kafka. Sums are over the partitions of our topics that it reads."""

    group: str
    owner: Annotated[str | None, Field(description="The service of the group; null for a subscriber of another system")]
    status: Annotated[GroupStatus, Field(description=_STATUS)]
    members: Annotated[int | None, Field(description="Null: Kafka does not show them")]
    topics: Annotated[list[str], Field(description="The topics that it reads")]
    partitions: int
    uncommitted: Annotated[int, Field(description="Partitions with records, of which it has committed no position")]
    lag: Annotated[int | None, Field(description=_LAG)]
    lag_seconds: Annotated[float | None, Field(description="The age of the oldest record that it has not read")]
    unread_since: Annotated[datetime | None, Field(description=_UNREAD)]
    rate: Annotated[float | None, Field(description="Records read a second, lately; null if it is not known")]
    inflow: Annotated[float | None, Field(description="Records written a second to these partitions, lately")]
    seconds_to_clear: Annotated[
        float | None, Field(description="Until the lag is gone at these rates; null if it does not shrink")
    ]
    active_at: Annotated[
        datetime | None, Field(description="When it last had a member or moved; null if never since `first_seen_at`")
    ]
    first_seen_at: datetime
    answered_at: Annotated[datetime | None, Field(description="When Kafka has last shown its positions")]
    forgotten_at: Annotated[datetime | None, Field(description="When Kafka no longer had the group")]


class GroupPartition(BaseModel):
    """A group in a partition."""

    topic: str
    partition: int
    status: Annotated[PositionStatus, Field(description=_POSITION_STATUS)]
    position: Annotated[int | None, Field(description="The next offset to read, as committed")]
    end: Annotated[int | None, Field(description="The next offset of the log, when Kafka last showed it")]
    lag: int | None
    lag_seconds: float | None
    unread_since: Annotated[datetime | None, Field(description=_UNREAD)]
    rate: float | None
    member: Annotated[str | None, Field(description="The client and host that read it")]
    moved_at: Annotated[datetime | None, Field(description="When the position was first seen where it is")]


class LagPoint(BaseModel):
    at: datetime
    lag: int | None
    lag_seconds: float | None


class ConsumerGroups(Page[ConsumerGroup]):
    sampling: Sampling


class ConsumerGroupDetail(ConsumerGroup):
    """A group with its partitions, and its lag over the last hour."""

    sampling: Sampling
    positions: list[GroupPartition]
    history: list[LagPoint]


LOOK: Final = "SELECT answered_at, error, left_out FROM kafka_look"
GROUPS: Final = "SELECT * FROM kafka_group WHERE name > $1 ORDER BY name LIMIT $2"
GROUP: Final = "SELECT * FROM kafka_group WHERE name = $1"
POSITIONS: Final = """
    SELECT at.*, kafka_end."end" FROM kafka_position AS at LEFT JOIN kafka_end USING (topic, partition)
    WHERE "group" = $1 ORDER BY topic, partition LIMIT $2
"""
HISTORY: Final = 'SELECT at, lag, seconds AS lag_seconds FROM kafka_lag WHERE "group" = $1 ORDER BY at LIMIT 1000'


async def sampling(sql: asyncpg.Connection, now: datetime) -> Sampling:
    row = await sql.fetchrow(LOOK)
    if row is None:
        return Sampling(known=False, answered_at=None, error=None, left_out=0)
    answered = row["answered_at"]
    known = row["error"] is None and answered is not None and now - answered <= KNOWN_FOR
    return Sampling(known=known, **dict(row))


async def groups(sql: asyncpg.Connection, now: datetime, after: str | None, limit: int) -> ConsumerGroups:
    """Return a page of groups by name."""
    seen = await sampling(sql, now)
    rows = await sql.fetch(GROUPS, after or "", limit + 1)
    items = [_group(row, seen, now) for row in rows[:limit]]
    more = CONSUMERS.encode(items[-1].group) if len(rows) > limit else None
    return ConsumerGroups(items=items, next=more, sampling=seen)


async def group(sql: asyncpg.Connection, now: datetime, name: str) -> ConsumerGroupDetail:
    """Return a group. Raise Refusal 404 if it is not known."""
    seen = await sampling(sql, now)
    row = await sql.fetchrow(GROUP, name)
    if row is None:
        raise Refusal(NO_SUCH_GROUP, f"No group {name!r}")
    shown = _group(row, seen, now)
    known = shown.status != "unknown"
    positions = [_partition(each, known, now) for each in await sql.fetch(POSITIONS, name, MAX_PARTITIONS)]
    history = [LagPoint(**dict(each)) for each in await sql.fetch(HISTORY, name)]
    return ConsumerGroupDetail(**shown.model_dump(), sampling=seen, positions=positions, history=history)


def _group(row: asyncpg.Record, seen: Sampling, now: datetime) -> ConsumerGroup:
    known = seen.known and row["answered_at"] is not None and now - row["answered_at"] <= KNOWN_FOR
    lag, rate, inflow = (row["lag"], row["rate"], row["inflow"]) if known else (None, None, None)
    since = row["unread_since"] if known else None
    return ConsumerGroup(
        group=row["name"],
        owner=row["owner"],
        status=_status(row) if known else "unknown",
        members=row["members"] if known else None,
        topics=row["topics"],
        partitions=row["partitions"],
        uncommitted=row["uncommitted"],
        lag=lag,
        lag_seconds=_age(lag, since, now),
        unread_since=since,
        rate=rate,
        inflow=inflow,
        seconds_to_clear=seconds_to_clear(lag, rate, inflow),
        active_at=row["active_at"],
        first_seen_at=row["first_seen_at"],
        answered_at=row["answered_at"],
        forgotten_at=row["forgotten_at"],
    )


def _status(row: asyncpg.Record) -> GroupStatus:
    if row["replaced"]:
        return "replaced"
    if row["forgotten_at"] is not None:
        return "forgotten"
    match row["kafka_state"]:
        case "PreparingRebalance" | "CompletingRebalance":
            return "rebalancing"
        case "Empty":
            return "empty"
        case _:
            return "active"


def _age(lag: int | None, since: datetime | None, now: datetime) -> float | None:
    if lag == 0:
        return 0.0
    return None if lag is None or since is None else max(0.0, (now - since).total_seconds())


def _partition(row: asyncpg.Record, known: bool, now: datetime) -> GroupPartition:
    position, end = row["position"], row["end"]
    lag = None if position is None or end is None or not known else max(0, end - position)
    since = row["unread_since"] if known else None
    return GroupPartition(
        topic=row["topic"],
        partition=row["partition"],
        status=_position_status(row) if known else "unknown",
        position=position,
        end=end,
        lag=lag,
        lag_seconds=_age(lag, since, now),
        unread_since=since,
        rate=row["rate"] if known else None,
        member=row["member"] if known else None,
        moved_at=row["moved_at"],
    )


def _position_status(row: asyncpg.Record) -> PositionStatus:
    if not row["reads"]:
        return "not_read"
    if row["position"] is None:
        return "none"
    return "committed" if row["forgotten_at"] is None else "forgotten"
