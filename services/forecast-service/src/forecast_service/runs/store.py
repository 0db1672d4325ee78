"""The statements on runs and their chunks: insert, claim under a lease, extend, finish, cancel and resume."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from pydantic_core import from_json, to_json

from crossdock_chassis import Database, Unit, new_id, storable
from forecast_service.calendar.model import Calendar
from forecast_service.runs.model import Chunk, Filter, Level

LEASE_SECONDS: Final = 20.0
"""If a runner dies, another one computes its chunk after this time. A runner extends the lease while it computes."""
CHANNEL: Final = "runs"
WAKE: Final = f"SELECT pg_notify('{CHANNEL}', '')"
REASON_LENGTH: Final = 300

RUNNING: Final = (
    "SELECT id, horizon, deadline_seconds, reselect FROM runs WHERE origin = $1 AND scope = $2 AND state = 'running'"
)

NEWEST: Final = """
    SELECT id, horizon, deadline_seconds, reselect FROM runs WHERE origin = $1 AND scope = $2 ORDER BY id DESC LIMIT 1
"""

INSERT: Final = """
    INSERT INTO runs (id, origin, horizon, item_prefix, category, chosen, scope, deadline_seconds, deadline_at, demand,
                      state, requested_by, requested_at, open, levels, reselect, calendar)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::timestamptz + $8::bigint * interval '1 second', $10, 'running', $11,
            $9, $12, $13, $14, $15::jsonb)
    ON CONFLICT (origin, scope) WHERE state = 'running' DO NOTHING
    RETURNING id
"""

INSERT_CHUNKS: Final = """
    INSERT INTO run_chunks (run_id, number, level, series)
    SELECT $1, number, level, series FROM json_to_recordset($2::json) AS new (number bigint, level text, series uuid[])
"""

CLAIM: Final = """
    UPDATE run_chunks AS chunk
    SET leased_by = $1, leased_until = now() + make_interval(secs => $2), started_at = now(), attempts = attempts + 1
    FROM (
        SELECT open.run_id, open.number, runs.origin, runs.horizon, runs.deadline_at, runs.requested_at, runs.calendar
        FROM runs JOIN run_chunks AS open ON open.run_id = runs.id
        WHERE runs.state = 'running' AND open.state = 'open'
              AND (open.leased_until IS NULL OR open.leased_until < now())
              AND (open.level <> 'reconcile' OR NOT EXISTS (
                  SELECT FROM run_chunks AS before
                  WHERE before.run_id = open.run_id AND before.state = 'open' AND before.level <> 'reconcile'
              ))
        ORDER BY open.run_id, open.number LIMIT 1 FOR UPDATE OF open SKIP LOCKED
    ) AS next
    WHERE chunk.run_id = next.run_id AND chunk.number = next.number
    RETURNING chunk.run_id, chunk.number, chunk.level, chunk.series, chunk.attempts, next.origin, next.horizon,
              next.deadline_at, next.requested_at, next.calendar::text AS calendar
"""

EXTEND: Final = """
    UPDATE run_chunks SET leased_until = now() + make_interval(secs => $4)
    FROM runs
    WHERE run_id = $1 AND number = $2 AND leased_by = $3 AND run_chunks.state = 'open'
          AND runs.id = run_id AND runs.state = 'running'
    RETURNING number
"""

HAND_BACK: Final = """
    UPDATE run_chunks SET leased_by = NULL, leased_until = NULL, attempts = attempts - 1
    WHERE run_id = $1 AND number = $2 AND leased_by = $3 AND state = 'open'
"""

FINISH: Final = """
    UPDATE run_chunks SET state = $4, ended_at = $5, leased_by = NULL, leased_until = NULL
    WHERE run_id = $1 AND number = $2 AND leased_by = $3 AND state = 'open'
    RETURNING number
"""

# The last lock of the unit, so that runners wait for each other as shortly as possible.
CLOSE: Final = """
    UPDATE runs SET open = open - 1, state = CASE WHEN open = 1 THEN 'done' ELSE state END,
                    ended_at = CASE WHEN open = 1 THEN $2::timestamptz END
    WHERE id = $1 AND state = 'running'
    RETURNING id
"""

FAIL: Final = """
    INSERT INTO run_failures (run_id, series_id, reason) SELECT $1, * FROM unnest($2::uuid[], $3::text[])
    ON CONFLICT (run_id, series_id) DO UPDATE SET reason = excluded.reason
"""

LOCK: Final = "SELECT state, origin, scope FROM runs WHERE id = $1 FOR UPDATE"

CANCEL: Final = "UPDATE runs SET state = 'cancelled', ended_at = $2 WHERE id = $1"

RESUME: Final = "UPDATE runs SET state = 'running', ended_at = NULL WHERE id = $1"


class LeaseLost(Exception):
    """Another runner has the chunk, or the run was cancelled: the results are not stored."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A chunk under a lease."""

    run: UUID
    number: int
    token: str
    level: Level
    series: Sequence[UUID]
    attempts: int
    origin: date
    horizon: int
    deadline_at: datetime | None
    requested_at: datetime
    calendar: Calendar | None


@dataclass(frozen=True, slots=True)
class New:
    """A run that is to be inserted. Its unit takes `id` only if no run of these series is running."""

    id: UUID
    origin: date
    horizon: int
    only: Filter
    deadline_seconds: int | None
    demand: Decimal | None
    reselect: bool
    by: str
    calendar: Calendar


async def insert(unit: Unit, run: New, chunks: Sequence[Chunk]) -> bool:
    """Insert a run with its chunks and wake the runners. Return False if a run of its scope and origin is running."""
    only = run.only
    inserted = await unit.sql.fetchval(
        INSERT,
        *(run.id, run.origin, run.horizon, only.item_prefix, only.category, only.series, only.scope),
        *(run.deadline_seconds, unit.now, run.demand, run.by, len(chunks), only.levels, run.reselect),
        to_json(run.calendar.document()).decode(),
    )
    if inserted is None:
        return False
    await insert_chunks(unit, run.id, chunks)
    return True


async def insert_chunks(unit: Unit, run: UUID, chunks: Sequence[Chunk]) -> None:
    """Insert chunks of a run and wake the runners."""
    rows = [{"number": each.number, "level": each.level, "series": each.series} for each in chunks]
    await unit.sql.execute(INSERT_CHUNKS, run, to_json(rows).decode())
    await wake(unit)


async def wake(unit: Unit) -> None:
    """Wake the runners when the unit commits."""
    unit.notifies = True
    await unit.sql.execute(WAKE)


async def claim(database: Database) -> Claimed | None:
    """Claim the first chunk that is open and that nobody computes: of the oldest run, in the order of its chunks."""
    token = f"{socket.gethostname()}:{os.getpid()}:{new_id()}"
    for row in await database.fetch(CLAIM, token, LEASE_SECONDS):
        return Claimed(
            row["run_id"],
            row["number"],
            token,
            row["level"],
            row["series"],
            row["attempts"],
            row["origin"],
            row["horizon"],
            row["deadline_at"],
            row["requested_at"],
            None if row["calendar"] is None else Calendar.of(from_json(row["calendar"])),
        )
    return None


async def extend(database: Database, held: Claimed) -> bool:
    """Extend the lease. Return False if it is lost, or if the run was cancelled."""
    return bool(await database.fetch(EXTEND, held.run, held.number, held.token, LEASE_SECONDS))


async def hand_back(database: Database, held: Claimed) -> None:
    """Give the chunk to the next runner that looks, as if it had not been claimed."""
    await database.fetch(HAND_BACK, held.run, held.number, held.token)


async def finish(unit: Unit, held: Claimed, state: str) -> None:
    """End the chunk as `done` or `skipped`. Raise LeaseLost."""
    if await unit.sql.fetchval(FINISH, held.run, held.number, held.token, state, unit.now) is None:
        raise LeaseLost


async def close(unit: Unit, held: Claimed) -> None:
    """End the run with its last chunk. Raise LeaseLost if the run was cancelled."""
    if await unit.sql.fetchval(CLOSE, held.run, unit.now) is None:
        raise LeaseLost


async def fail(unit: Unit, run: UUID, reasons: Mapping[UUID, str]) -> None:
    if reasons:
        texts = [storable(reason)[:REASON_LENGTH] for reason in reasons.values()]
        await unit.sql.execute(FAIL, run, list(reasons), texts)
