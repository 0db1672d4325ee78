"""How far the consumer groups of a service are, from its own database."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis.messaging.reactions import Subscription
from crossdock_chassis.messaging.stops import Action, Kind

COUNT_LIMIT: Final = 100_000
"""Dead letters and parked keys are counted up to this number."""

PLACES: Final = """
    SELECT consumer_group, topic, partition, next AS position, log_end AS end, handled_to, rate, inflow, seen_at
    FROM consumer_position FULL JOIN consumer_progress USING (consumer_group, topic, partition)
    ORDER BY consumer_group, topic, partition
"""

STOPS: Final = """
    SELECT id, consumer_group, kind, topic, partition, reason, since, decision FROM consumer_stop
    WHERE ended_at IS NULL ORDER BY id LIMIT 1000
"""

# Each step finds the next group and state by the index, because a group may have many thousand dead letters.
DEAD_LETTERS: Final = """
    WITH RECURSIVE each AS (
        (SELECT consumer_group, state FROM dead_letter ORDER BY consumer_group, state LIMIT 1)
        UNION ALL
        SELECT following.consumer_group, following.state FROM each CROSS JOIN LATERAL (
            SELECT consumer_group, state FROM dead_letter
            WHERE (consumer_group, state) > (each.consumer_group, each.state)
            ORDER BY consumer_group, state LIMIT 1
        ) AS following
    )
    SELECT consumer_group, state, (
        SELECT count(*) FROM (
            SELECT FROM dead_letter WHERE (consumer_group, state) = (each.consumer_group, each.state) LIMIT $1
        ) AS counted
    ) AS count
    FROM each
"""

PARKED_KEYS: Final = """
    SELECT consumer_group, (
        SELECT count(*) FROM (
            SELECT FROM parked_key WHERE parked_key.consumer_group = letters.consumer_group LIMIT $2
        ) AS counted
    ) AS count
    FROM unnest($1::text[]) AS letters (consumer_group)
"""

_LAG = "Records that are not handled yet; null if no consumer has stored the end of the log"
_LAG_SECONDS = "The age of the last record that was handled, if there is a lag; null if it is not known"
_RATE = "Records handled a second, over the last few seconds; null if it is not known"
_CLEAR = "Seconds until the lag is gone at the present rates; null if it does not shrink or is not known"
_SEEN = "When a consumer has last stored this: within 5 s of a change, and once a minute without one"


class PartitionState(BaseModel):
    topic: str
    partition: int
    position: Annotated[int | None, Field(description="The next offset to handle; null if the group has none")]
    end: Annotated[int | None, Field(description="The next offset of the log, when it was last seen")]
    lag: Annotated[int | None, Field(description=_LAG)]
    lag_seconds: Annotated[float | None, Field(description=_LAG_SECONDS)]
    rate: Annotated[float | None, Field(description=_RATE)]
    seconds_to_clear: Annotated[float | None, Field(description=_CLEAR)]
    seen_at: Annotated[datetime | None, Field(description=_SEEN)]
    reads: Annotated[bool, Field(description="False: this version of the group no longer reads the topic")]


class GroupStop(BaseModel):
    """A partition that is stopped, or the whole group if `topic` is null. `/v1/stopped/{id}` has the rest."""

    id: int
    kind: Kind
    topic: str | None
    partition: int | None
    reason: str
    since: datetime
    decision: Action | None


class GroupState(BaseModel):
    """One consumer group. Sums are over the partitions that it reads."""

    group: str
    kind: Annotated[
        Literal["reaction", "projection", "log"] | None,
        Field(description="Null: this version of the service no longer has the group"),
    ]
    lag: Annotated[int | None, Field(description=_LAG)]
    lag_seconds: Annotated[float | None, Field(description=_LAG_SECONDS)]
    rate: Annotated[float | None, Field(description=_RATE)]
    seconds_to_clear: Annotated[float | None, Field(description=_CLEAR)]
    seen_at: Annotated[datetime | None, Field(description=_SEEN)]
    stopped: list[GroupStop]
    poison: Annotated[int, Field(description=f"Dead letters that wait for a person, counted up to {COUNT_LIMIT}")]
    parked: Annotated[int, Field(description=f"Events that wait behind them, counted up to {COUNT_LIMIT}")]
    blocked: Annotated[int, Field(description=f"Events that are retried, counted up to {COUNT_LIMIT}")]
    held_keys: Annotated[int, Field(description=f"Keys whose events wait, counted up to {COUNT_LIMIT}")]
    partitions: list[PartitionState]


async def groups_of(sql: asyncpg.Connection, now: datetime, live: Collection[Subscription]) -> list[GroupState]:
    """Return each group that runs or has a position. Read it in one unit, so that the figures fit together."""
    places: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in await sql.fetch(PLACES):
        places[row["consumer_group"]].append(row)
    stops: dict[str, list[GroupStop]] = defaultdict(list)
    for row in await sql.fetch(STOPS):
        stops[row["consumer_group"]].append(GroupStop(**row))
    letters = {(row[0], row[1]): row[2] for row in await sql.fetch(DEAD_LETTERS, COUNT_LIMIT)}
    with_letters = sorted({group for group, _ in letters})
    held = dict(await sql.fetch(PARKED_KEYS, with_letters, COUNT_LIMIT))
    running = {each.group: each for each in live}
    found = []
    for group in sorted({*places, *stops, *with_letters, *running}):
        subscription = running.get(group)
        partitions = [_partition(row, now, subscription) for row in places[group]]
        found.append(
            GroupState(
                group=group,
                kind=None if subscription is None else subscription.kind,
                **_summed([each for each in partitions if each.reads]),
                stopped=stops[group],
                poison=letters.get((group, "poison"), 0),
                parked=letters.get((group, "parked"), 0),
                blocked=letters.get((group, "blocked"), 0),
                held_keys=held.get(group, 0),
                partitions=partitions,
            )
        )
    return found


def _partition(row: asyncpg.Record, now: datetime, of: Subscription | None) -> PartitionState:
    # A log finds more topics while it runs, and never gives one up.
    reads = of is not None and (of.kind == "log" or row["topic"] in of.topics)
    position, end = row["position"], row["end"]
    # The position may have moved on since the end was stored.
    lag = None if position is None or end is None else max(0, end - position)
    age = None if row["handled_to"] is None else max(0.0, (now - row["handled_to"]).total_seconds())
    return PartitionState(
        topic=row["topic"],
        partition=row["partition"],
        position=position,
        end=end,
        lag=lag,
        lag_seconds=0.0 if lag == 0 else age,
        rate=row["rate"],
        seconds_to_clear=_to_clear(lag, row["rate"], row["inflow"]),
        seen_at=row["seen_at"],
        reads=reads,
    )


def _to_clear(lag: int | None, rate: float | None, inflow: float | None) -> float | None:
    if lag == 0:
        return 0.0
    if lag is None or rate is None or rate <= (inflow or 0.0):
        return None
    return lag / (rate - (inflow or 0.0))


def _summed(partitions: Sequence[PartitionState]) -> Mapping[str, Any]:
    """Return the figures of a group. A figure is null if it is unknown for a partition."""

    def each(name: str) -> list[Any] | None:
        values = [getattr(partition, name) for partition in partitions]
        return None if not values or None in values else values

    lag, age, rate, clear = each("lag"), each("lag_seconds"), each("rate"), each("seconds_to_clear")
    seen = [partition.seen_at for partition in partitions if partition.seen_at is not None]
    return {
        "lag": lag and sum(lag),
        "lag_seconds": age and max(age),
        "rate": rate and sum(rate),
        "seconds_to_clear": clear and max(clear),
        "seen_at": max(seen, default=None),
    }
