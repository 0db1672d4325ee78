"""Claim due effects and record their outcomes. Each function is part of a unit of the worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from crossdock_chassis.effects.performer import Effect
from crossdock_chassis.ids import new_id

WALK_LIMIT: Final = 500
EXPIRE_LIMIT: Final = 500

# PostgreSQL keeps a plan. If it is made while the table is empty, it is still used with millions of finished rows.
BY_INDEX: Final = """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true)
"""

# Targets in order, one index probe for each, for any number of rows. So 10,000 rows of a dead target do not delay other
# targets.
WALK: Final = """
    WITH RECURSIVE walk AS (
        (SELECT target, due_at FROM effect WHERE state = 'pending' AND kind = $1 AND target > $2
         ORDER BY target, due_at LIMIT 1)
        UNION ALL
        SELECT following.target, following.due_at FROM walk CROSS JOIN LATERAL (
            SELECT target, due_at FROM effect WHERE state = 'pending' AND kind = $1 AND target > walk.target
            ORDER BY target, due_at LIMIT 1
        ) AS following
    )
    SELECT target, due_at <= now() AS due FROM walk LIMIT $3
"""

# `due_at` becomes the end of the lease. An effect with a key is claimed only if it is the first pending one of its key.
# It stays pending, so two effects of a key cannot be claimed at once. The first one is found in the order of the key's
# index. A plan for NOT EXISTS, made while the table was empty, read all rows of the target for each effect.
CLAIM: Final = """
    WITH picked AS (
        SELECT candidate.id FROM unnest($2::text[], $3::int[]) AS open (target, room) CROSS JOIN LATERAL (
            SELECT id FROM effect
            WHERE state = 'pending' AND kind = $1 AND target = open.target AND due_at <= now()
              AND (key IS NULL OR position = (
                  SELECT line.position FROM effect AS line
                  WHERE line.state = 'pending' AND line.kind = effect.kind AND line.target = effect.target
                    AND line.key = effect.key
                  ORDER BY line.kind, line.target, line.key, line.position LIMIT 1
              ))
            ORDER BY due_at LIMIT open.room FOR UPDATE SKIP LOCKED
        ) AS candidate
        LIMIT $4
    )
    UPDATE effect
    SET claimed_by = $5, due_at = now() + make_interval(secs => $6), attempts = attempts + 1
    FROM picked WHERE effect.id = picked.id
    RETURNING effect.id, kind, target, key, payload::text AS payload, attempts, created_at, reason, traceparent
"""

# The condition on the claim keeps a worker whose lease was taken over from changing the row.
RECORD: Final = """
    UPDATE effect
    SET state = new.state, reason = new.reason, result = new.result::json, claimed_by = NULL,
        attempts = attempts - new.unused,
        due_at = now() + make_interval(secs => new.delay),
        finished_at = CASE WHEN new.state <> 'pending' THEN now() END
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::float[], $7::int[])
         AS new (id, claim, state, reason, result, delay, unused)
    WHERE effect.id = new.id AND effect.id = ANY ($1) AND effect.state = 'pending' AND effect.claimed_by = new.claim
    RETURNING effect.id
"""

EXPIRE: Final = f"""
    UPDATE effect
    SET state = 'given_up', claimed_by = NULL, finished_at = now(),
        reason = 'not done within ' || $2::float || ' s; ' || coalesce('last: ' || reason, 'never attempted')
    WHERE id IN (
        SELECT id FROM effect
        WHERE state = 'pending' AND kind = $1 AND pending_since < now() - make_interval(secs => $2::float)
          AND (claimed_by IS NULL OR due_at <= now())
        ORDER BY pending_since LIMIT {EXPIRE_LIMIT} FOR UPDATE SKIP LOCKED
    )
    RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An effect under a lease. `began` is a time before the lease began (`time.monotonic`)."""

    effect: Effect
    claim: UUID
    began: float
    reason: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt. `unused` is 1 for an attempt that did not begin."""

    claimed: Claimed
    state: Literal["pending", "done", "given_up"]
    reason: str | None = None
    result: str | None = None
    delay: float = 0.0
    unused: int = 0


async def walk(sql: asyncpg.Connection, kind: str, after: str) -> Sequence[asyncpg.Record]:
    """Return up to WALK_LIMIT targets after `after` that have pending effects, and whether an effect may be due."""
    rows: Sequence[asyncpg.Record] = await sql.fetch(WALK, kind, after, WALK_LIMIT)
    return rows


async def claim(
    sql: asyncpg.Connection, kind: str, rooms: dict[str, int], limit: int, *, lease: float, began: float
) -> list[Claimed]:
    """Claim at most `limit` due effects of the targets in `rooms`, and at most its room for each target."""
    token = new_id()
    rows = await sql.fetch(CLAIM, kind, list(rooms), list(rooms.values()), limit, token, lease)
    return [
        Claimed(
            Effect(
                id=row["id"],
                kind=row["kind"],
                target=row["target"],
                key=row["key"],
                payload=from_json(row["payload"]),
                attempt=row["attempts"],
                created_at=row["created_at"],
            ),
            token,
            began,
            row["reason"],
            row["traceparent"],
        )
        for row in rows
    ]


async def record(sql: asyncpg.Connection, outcomes: Sequence[Outcome]) -> set[UUID]:
    """Write the outcomes and return their effects. Effects that were taken over or discarded are missing."""
    rows = await sql.fetch(
        RECORD,
        [each.claimed.effect.id for each in outcomes],
        [each.claimed.claim for each in outcomes],
        [each.state for each in outcomes],
        [each.reason for each in outcomes],
        [each.result for each in outcomes],
        [each.delay for each in outcomes],
        [each.unused for each in outcomes],
    )
    return {row["id"] for row in rows}


async def expire(sql: asyncpg.Connection, kind: str, max_age: float) -> list[UUID]:
    """Give up at most EXPIRE_LIMIT effects that have been pending for more than `max_age` seconds. Return their ids."""
    return [row["id"] for row in await sql.fetch(EXPIRE, kind, max_age)]
