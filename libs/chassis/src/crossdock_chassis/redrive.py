"""Resolve many dead letters in a job: a unit for each key, or for each chunk of a key, with a result per record."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from crossdock_chassis.database.actions import Actor, record_action
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.jobs import rows
from crossdock_chassis.jobs.declare import Queued, queued
from crossdock_chassis.jobs.resolve import StoredJob, show_job
from crossdock_chassis.jobs.run import JobFailed, JobRun
from crossdock_chassis.messaging import dead_letters
from crossdock_chassis.messaging.aside import MAX_KEY_BYTES
from crossdock_chassis.messaging.breaker import KEYS, WINDOW
from crossdock_chassis.messaging.dead_letters import (
    CHUNK,
    COUNT_LIMIT,
    Failed,
    NoSuchDeadLetter,
    NotPoison,
    Resolve,
    Resolved,
    StillPoison,
)
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.quantities import Number

KIND: Final = "resolve-dead-letters"
SAMPLE: Final = 20
"""The most records that a dry run tries."""
SAMPLE_SECONDS: Final = 5.0
LOCK_SECONDS: Final = 2
"""A chunk with a locked row waits this long about five times, and must end within the 15 seconds of a transaction."""
UNTRIED: Final = 5
"""After this many failed runs the record at which they failed is left poison, without another attempt."""
BEAT_SECONDS: Final = 0.5

Outcome = Literal["applied", "discarded", "still-poison", "skipped"]
LetterId = Annotated[int, Number(1, 10**15)]
Words = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]


class DeadLetterIds(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[LetterId], Field(min_length=1, max_length=500)]


class SameFingerprint(BaseModel):
    """All poison records with this fingerprint that exist at the time of the request."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    group: Words | None = None
    topic: Words | None = None


class _Many(BaseModel):
    model_config = ConfigDict(extra="forbid")

    records: DeadLetterIds | SameFingerprint
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    records_per_second: Annotated[int, Number(1, 1_000), Field(description="The rate limit of the job")] = 100


class RedriveMany(_Many):
    action: Literal["redrive"]


class DiscardMany(_Many):
    """Give up the named records. The events parked behind them are handled."""

    action: Literal["discard"]


class ResendMany(_Many):
    """Redrive the records with other headers. One value cannot fit many records: resend it by the id of its record."""

    action: Literal["resend"]
    headers: Annotated[
        dict[Literal["ce_type", "ce_source", "ce_specversion", "ce_dataschema", "content-type"], Words],
        Field(min_length=1, description="They replace the records' own"),
    ]


Many: TypeAlias = RedriveMany | DiscardMany | ResendMany
_ARGUMENTS: Final[TypeAdapter[Many]] = TypeAdapter(Annotated[Many, Field(discriminator="action")])


class DeadLetterResult(BaseModel):
    """The outcome of one record in a job."""

    id: int
    outcome: Outcome
    reason: str | None
    at: datetime


class Attempt(BaseModel):
    """What a redrive, resend or discard of one record would do."""

    id: int
    outcome: Outcome
    reason: str | None = Field(description="Why it is skipped, or still poison")
    applied: int = Field(description="The events that were handled: the record and events behind it")
    left: int = Field(description="The events of the key that would still wait")
    failure: str | None = Field(description="Why the next event behind failed")
    published: list[str]


class Extent(BaseModel):
    """How many records match, of how many keys, and how many more wait behind them: each counted up to 10,000."""

    records: int
    keys: int
    waiting: int


class DryRunResult(Extent):
    """A dry run: the first records were resolved, one by one, and rolled back."""

    attempts: list[Attempt]


# --- statements

ALIKE: Final = """
    SELECT id, consumer_group, topic, key FROM dead_letter
    WHERE state = 'poison' AND fingerprint = $1 AND id <= $2 AND id > $3
      AND ($4::text IS NULL OR consumer_group = $4) AND ($5::text IS NULL OR topic = $5)
      AND NOT EXISTS (SELECT FROM dead_letter_result WHERE (job, letter) = ($6, dead_letter.id))
    ORDER BY id
"""

LISTED: Final = """
    SELECT id, consumer_group, topic, key FROM dead_letter
    WHERE state = 'poison' AND id = ANY($1::bigint[]) ORDER BY id
"""

EXTENT: Final = f"""
    WITH matching AS MATERIALIZED ({{matching}} LIMIT {COUNT_LIMIT}),
    keys AS MATERIALIZED (SELECT DISTINCT consumer_group, topic, key FROM matching)
    SELECT (SELECT count(*) FROM matching) AS records, (SELECT count(*) FROM keys) AS keys, (
        SELECT count(*) FROM (
            SELECT FROM keys CROSS JOIN LATERAL (
                SELECT FROM dead_letter
                WHERE (consumer_group, topic, key) = (keys.consumer_group, keys.topic, keys.key)
                  AND octet_length(key) <= {MAX_KEY_BYTES} AND state IN ('parked', 'blocked')
            ) AS waiting
            LIMIT {COUNT_LIMIT}
        ) AS counted
    ) AS waiting
"""

KEEP: Final = """
    INSERT INTO dead_letter_result (job, letter, outcome, reason)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[])
    ON CONFLICT (job, letter) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, at = now()
    WHERE excluded.outcome <> 'skipped'
    RETURNING xmax = 0 AS new
"""

TALLY: Final = "SELECT outcome, count(*) FROM dead_letter_result WHERE job = $1 GROUP BY outcome ORDER BY outcome"

RESULTS: Final = """
    SELECT letter AS id, outcome, reason, at FROM dead_letter_result
    WHERE job = $1 AND letter > $2 AND ($3::text IS NULL OR outcome = $3) ORDER BY letter LIMIT $4
"""

NEWEST: Final = "SELECT coalesce(max(id), 0) FROM dead_letter"


class _Selection(NamedTuple):
    """The records of a request. A record that has a result of the job already is not selected again."""

    records: DeadLetterIds | SameFingerprint
    newest: int
    job: UUID | None = None

    async def first(self, sql: asyncpg.Connection, after: int, count: int = 1) -> list[int]:
        """Return the first ids after this one. DeadLetterIds ids need no row: a missing one gets a result, too."""
        if isinstance(self.records, DeadLetterIds):
            return sorted({id for id in self.records.ids if id > after})[:count]
        statement, arguments = self._statement(after)
        return [row["id"] for row in await sql.fetch(f"{statement} LIMIT {count:d}", *arguments)]

    async def extent(self, sql: asyncpg.Connection) -> "Extent":
        statement, arguments = self._statement(0)
        return Extent(**await sql.fetchrow(EXTENT.format(matching=statement), *arguments))

    def _statement(self, after: int) -> tuple[str, list[object]]:
        match self.records:
            case DeadLetterIds(ids=ids):
                return LISTED, [ids]
            case SameFingerprint(fingerprint=fingerprint, group=group, topic=topic):
                return ALIKE, [fingerprint, self.newest, after, group, topic, self.job]


# --- request and dry run


class Wanted(NamedTuple):
    many: Many
    by: Actor

    def of(self, id: int, job: UUID | None = None) -> Resolve:
        """Return the command for one record."""
        headers: Mapping[str, str] | None = None
        if isinstance(self.many, ResendMany):
            headers = {name: text for name, text in self.many.headers.items()}
        return Resolve(id, self.many.action, headers=headers, job=job)


def resolving(inboxes: Mapping[str, Inbox]) -> Queued:
    """Return the job that resolves many dead letters."""
    return queued(KIND, _Work(inboxes).do)


async def request_many(unit: Unit, wanted: Wanted) -> StoredJob:
    """Queue a job that resolves the records."""
    newest = await unit.sql.fetchval(NEWEST)
    arguments = wanted.many.model_dump(exclude_none=True)
    id = await rows.request(unit.sql, KIND, {**arguments, "newest": newest}, wanted.by.who)
    after = {name: value for name, value in arguments.items() if name != "reason"}
    await record_action(unit, wanted.by, "dead-letters:resolve", f"/v1/jobs/{id}", why=wanted.many.reason, after=after)
    return await show_job(unit, id)


async def request_rest(unit: Unit, by: Actor, reason: str, resolved: Resolved) -> UUID | None:
    """Queue a job for the events of a key that one unit could not handle. Return its id, or None without any."""
    if resolved.next is None:
        return None
    many = RedriveMany(action="redrive", records=DeadLetterIds(ids=[resolved.next]), reason=reason)
    return (await request_many(unit, Wanted(many, by))).id


async def try_many(database: Database, wanted: Wanted, inboxes: Mapping[str, Inbox]) -> DryRunResult:
    """Count the records. Resolve the first ones, each in a unit that is rolled back."""
    async with database.unit() as unit:
        selection = _Selection(wanted.many.records, await unit.sql.fetchval(NEWEST))
        extent = await selection.extent(unit.sql)
        ids = await selection.first(unit.sql, 0, SAMPLE)
    attempts: list[Attempt] = []
    until = time.monotonic() + SAMPLE_SECONDS
    for id in ids:
        async with database.trial() as unit:
            step = await _resolve(unit, wanted.of(id), inboxes, CHUNK)
        outcome, reason = step.results[id]
        published = [envelope.event.ce_type for envelope in unit.published]
        done = step.resolved or Resolved("poison")
        failure = None if done.poison is None else done.poison[1].reason
        attempts.append(
            Attempt(
                id=id,
                outcome=outcome,
                reason=reason,
                applied=len(done.applied),
                left=done.left,
                failure=failure,
                published=published,
            )
        )
        if time.monotonic() > until:
            break
    return DryRunResult(**extent.model_dump(), attempts=attempts)


async def find_results(
    database: Database, job: UUID, *, outcome: Outcome | None, after: int | None, limit: int
) -> list[DeadLetterResult]:
    """Return the results of a job by record. Raise NoSuchJob."""
    async with database.unit() as unit:
        await show_job(unit, job)
        return [DeadLetterResult(**row) for row in await unit.sql.fetch(RESULTS, job, after or 0, outcome, limit)]


# --- the job


class _Step(NamedTuple):
    """The results of one unit by the ids of the records. At most one record fails in a unit: its key ends there."""

    results: Mapping[int, tuple[Outcome, str | None]]
    failed: Failed | None = None
    resolved: Resolved | None = None


async def _resolve(unit: Unit, command: Resolve, inboxes: Mapping[str, Inbox], limit: int) -> _Step:
    """Resolve one record and events behind it. A refusal is a result, too."""
    await unit.sql.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    try:
        done = await dead_letters.resolve(unit, command, inboxes, limit=limit, patient=True)
    except NoSuchDeadLetter:
        return _Step({command.id: ("skipped", NoSuchDeadLetter.problem.title)})
    except NotPoison as error:
        return _Step({command.id: ("skipped", str(error))})
    except StillPoison as error:
        if command.action == "redrive":
            await dead_letters.mark_poison(unit.sql, command.id, error.failed)
        return _Step({command.id: ("still-poison", storable(error.failed.reason))}, error.failed)
    results: dict[int, tuple[Outcome, str | None]] = {id: ("applied", None) for id in done.applied}
    if done.state == "discarded":
        results[command.id] = "discarded", None
    if done.poison is None:
        return _Step(results, None, done)
    id, failed = done.poison
    return _Step(results | {id: ("still-poison", storable(failed.reason))}, failed, done)


class _State(BaseModel):
    """Where the job is. `next` is the rest of a key; `recent` has the fingerprints of the last records that failed."""

    after: int = 0
    next: int | None = None
    recent: list[str | None] = []


class _Work:
    def __init__(self, inboxes: Mapping[str, Inbox]) -> None:
        self._inboxes = inboxes

    async def do(self, run: JobRun) -> Mapping[str, object]:
        """Resolve the records, a unit for each key or chunk of a key. Raise JobFailed if they fail for one reason."""
        arguments = dict(run.arguments)
        newest = arguments.pop("newest")
        many = _ARGUMENTS.validate_python(arguments)
        wanted, selection = Wanted(many, Actor(run.requested_by or "")), _Selection(many.records, newest, run.id)
        while True:
            began, before = time.monotonic(), run.done
            async with run.unit() as unit:
                if run.total is None:
                    run.total = await _total(unit, selection)
                state = _State(**run.state)
                id = state.next or next(iter(await selection.first(unit.sql, state.after)), None)
                if id is None:
                    run.total = run.done
                    return {row["outcome"]: row["count"] for row in await unit.sql.fetch(TALLY, run.id)}
                command = wanted.of(id, run.id)
                if state.next is not None:
                    command = replace(command, action="redrive", headers=None)
                ends = await self._step(unit, run, state, command, min(CHUNK, many.records_per_second))
            if ends is not None:
                raise JobFailed(ends)
            await _wait(run, began + (run.done - before) / many.records_per_second)

    async def _step(self, unit: Unit, run: JobRun, state: _State, command: Resolve, limit: int) -> str | None:
        """Resolve one record and events behind it, and keep their results. Return why the job must end, or None."""
        if run.failures >= UNTRIED:
            step = _Step({command.id: ("still-poison", f"not tried: its transaction failed {run.failures} times")})
        else:
            step = await _resolve(unit, command, self._inboxes, 1 if run.failures else limit)
        outcomes, reasons = zip(*step.results.values(), strict=True)
        kept = await unit.sql.fetch(KEEP, run.id, list(step.results), outcomes, reasons)
        run.done += sum(row["new"] for row in kept)
        run.total = max(run.total or 0, run.done)

        recent = list(state.recent)
        if any(outcome in ("applied", "discarded") for outcome in outcomes):
            recent.append(None)
        if step.failed is not None:
            recent.append(step.failed.fingerprint)
        recent = recent[-WINDOW:]
        same = recent.count(step.failed.fingerprint) if step.failed is not None else 0
        ends = same >= KEYS
        run.state = _State(
            after=command.id if state.next is None else state.after,
            next=None if step.resolved is None else step.resolved.next,
            recent=[] if ends else recent,
        ).model_dump()
        if step.failed is None or not ends:
            return None
        return (
            f"{same} of the last {len(recent)} records failed for one reason: {step.failed.reason[:200]}. Mend the "
            "cause, then send the request again; or resume this job to go on with the records after these"
        )


async def _total(unit: Unit, selection: _Selection) -> int:
    extent = await selection.extent(unit.sql)
    listed = selection.records
    return extent.waiting + (len(set(listed.ids)) if isinstance(listed, DeadLetterIds) else extent.records)


async def _wait(run: JobRun, until: float) -> None:
    """Wait for the rate limit, with signs of life. Raise JobInterrupted if the job must end."""
    while (pause := until - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, BEAT_SECONDS))
        run.beat()
