"""The statements on the table `job`: declare, request, claim, extend, store progress, record the outcome."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from crossdock_chassis.database.unit import Database
from crossdock_chassis.ids import new_id

LEASE_SECONDS: Final = 20.0
"""Longer than a unit can last. If a worker dies, another one runs its job after this time."""

Status = Literal["queued", "running", "done", "failed", "stopped"]

# No disk write is awaited for a claim, or for the outcome of a periodic job: after a crash of the server the job runs
# again. The setting is part of the statement, because a separate one would cost a round trip.
DECLARE: Final = """
    INSERT INTO job (id, kind, every_seconds)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::float8[]) AS new (id, kind, every_seconds) ORDER BY kind
    ON CONFLICT (kind) WHERE every_seconds IS NOT NULL DO UPDATE
    SET every_seconds = excluded.every_seconds,
        due_at = CASE WHEN job.status = 'running' THEN job.due_at
                 ELSE least(job.due_at, now() + make_interval(secs => excluded.every_seconds)) END
    WHERE job.every_seconds <> excluded.every_seconds
"""

REQUEST: Final = "INSERT INTO job (id, kind, arguments, requested_by) VALUES ($1, $2, $3::json, $4)"

# Sent at the commit. It wakes the workers, which otherwise look every few seconds.
CHANNEL: Final = "job"
WAKE: Final = f"SELECT pg_notify('{CHANNEL}', $1)"

CLAIM: Final = """
    WITH picked AS (
        SELECT candidate.id FROM unnest($1::text[]) AS wanted (kind) CROSS JOIN LATERAL (
            SELECT id FROM job WHERE kind = wanted.kind AND status IN ('queued', 'running')
              AND (due_at <= now() OR status = 'queued' AND kind = ANY ($4::text[]))
            ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS candidate
    )
    UPDATE job
    SET status = 'running', leased_by = $2, due_at = now() + make_interval(secs => $3),
        started_at = CASE WHEN every_seconds IS NULL THEN coalesce(started_at, now()) ELSE now() END,
        done = CASE WHEN every_seconds IS NULL OR status = 'running' THEN done ELSE 0 END,
        total = CASE WHEN every_seconds IS NULL OR status = 'running' THEN total END,
        failures = failures + (status = 'running')::int,
        error = CASE WHEN status = 'running' THEN 'the worker died or lost the lease' ELSE error END,
        failed_at = CASE WHEN status = 'running' THEN now() ELSE failed_at END
    FROM picked WHERE job.id = picked.id
    RETURNING job.id, kind, arguments::text, requested_by, done, total, state::text, failures,
              stop_requested_at IS NOT NULL AS stop, set_config('synchronous_commit', 'off', true)
"""

EXTEND: Final = """
    UPDATE job SET due_at = now() + make_interval(secs => $3)
    FROM (SELECT * FROM unnest($1::uuid[], $2::text[]) AS held (id, token) ORDER BY id) AS held
    WHERE job.id = held.id AND job.leased_by = held.token
    RETURNING job.id, stop_requested_at IS NOT NULL AS stop
"""

# The condition on the lease rolls back the chunk of a worker whose lease was taken over.
PROGRESS: Final = """
    UPDATE job SET due_at = now() + make_interval(secs => $3), done = $4, total = $5, state = $6::json, failures = 0
    WHERE id = $1 AND leased_by = $2
    RETURNING stop_requested_at IS NOT NULL
"""

RECORD: Final = """
    UPDATE job
    SET status = $3, leased_by = NULL, due_at = now() + make_interval(secs => $4), failures = $5, seconds = $6,
        result = coalesce($8::json, result), error = coalesce($7, error),
        failed_at = CASE WHEN $7::text IS NULL THEN failed_at ELSE now() END,
        finished_at = CASE WHEN $3 IN ('done', 'failed', 'stopped') THEN now() END
    WHERE id = $1 AND leased_by = $2
    RETURNING CASE WHEN every_seconds IS NOT NULL THEN set_config('synchronous_commit', 'off', true) END
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job under a lease. Without a token there is no lease: each worker makes the measurement for itself."""

    id: UUID
    token: str | None
    kind: str
    arguments: Mapping[str, Any]
    requested_by: str | None = None
    done: int = 0
    total: int | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    failures: int = 0
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. A periodic job is queued again after `delay` seconds."""

    status: Status
    delay: float = 0.0
    failures: int = 0
    error: str | None = None
    result: Mapping[str, object] | None = None


async def declare(database: Database, periods: Mapping[str, float]) -> None:
    """Write a row for each periodic job that has none."""
    await database.fetch(DECLARE, [new_id() for _ in periods], [*periods], [*periods.values()])


async def request(
    sql: asyncpg.Connection, kind: str, arguments: Mapping[str, object], by: str, id: UUID | None = None
) -> UUID:
    id = id or new_id()
    await sql.execute(REQUEST, id, kind, to_json(arguments).decode(), by)
    await sql.execute(WAKE, "")
    return id


async def claim(database: Database, kinds: Sequence[str], woken: Sequence[str] = ()) -> list[Claimed]:
    """Claim the job of each kind that is due first. The `woken` kinds are claimed before they are due."""
    token = f"{socket.gethostname()}:{os.getpid()}:{new_id()}"
    return [
        Claimed(
            row["id"],
            token,
            row["kind"],
            from_json(row["arguments"]),
            row["requested_by"],
            row["done"],
            row["total"],
            from_json(row["state"]),
            row["failures"],
            row["stop"],
        )
        for row in await database.fetch(CLAIM, kinds, token, LEASE_SECONDS, woken)
    ]


async def extend(database: Database, held: Sequence[Claimed]) -> dict[UUID, bool]:
    """Extend the leases. Return whether a stop was requested, by id. Jobs whose lease is lost are missing."""
    ids, tokens = [each.id for each in held], [each.token for each in held]
    return {row["id"]: row["stop"] for row in await database.fetch(EXTEND, ids, tokens, LEASE_SECONDS)}


async def store(
    sql: asyncpg.Connection, held: Claimed, done: int, total: int | None, state: Mapping[str, object]
) -> bool | None:
    """Store the progress and extend the lease. Return whether a stop was requested, None if the lease is lost."""
    stop: bool | None = await sql.fetchval(
        PROGRESS, held.id, held.token, LEASE_SECONDS, done, total, to_json(state).decode()
    )
    return stop


async def record(database: Database, held: Claimed, outcome: Outcome, seconds: float) -> None:
    """Give the lease back with the outcome of the run. A lease that was taken over stays as it is."""
    result = None if outcome.result is None else to_json(outcome.result, inf_nan_mode="null").decode()
    await database.fetch(
        RECORD,
        held.id,
        held.token,
        outcome.status,
        outcome.delay,
        outcome.failures,
        seconds,
        outcome.error,
        result,
    )
