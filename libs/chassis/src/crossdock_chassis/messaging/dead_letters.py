"""Show and resolve events that could not be handled. The table is authoritative; the topic in Kafka is a copy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.messaging.aside import MAX_KEY_BYTES, Record, fingerprint, record_of
from crossdock_chassis.messaging.breaker import Failure
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.problems import Problem
from crossdock_events import Malformed, Unknown

State = Literal["poison", "parked", "blocked", "redriven", "discarded"]
Action = Literal["redrive", "discard", "resend"]

CHUNK: Final = 100
"""The most events of a key that one unit handles. A key with more of them needs several units."""

BATCH: Final = 10
"""The most events that a reaction gets at once. The clock is read between batches."""

CHUNK_SECONDS: Final = 3.0
"""After this time a unit begins no further batch, because a transaction is limited to 15 seconds."""

LOCK_KEY = "SELECT FROM parked_key WHERE (consumer_group, topic, key) = ($1, $2, $3) FOR UPDATE"

RELEASE_KEY = "DELETE FROM parked_key WHERE (consumer_group, topic, key) = ($1, $2, $3)"

COUNT_LIMIT: Final = 10_000

LISTED_CHARACTERS: Final = 500
"""A list shows this much of the data of an event. Some lists have 200 events of 900 kB."""

COLUMNS = """
    id, consumer_group, topic, partition, "offset", key, value, headers::text AS headers, state, reason, fingerprint,
    created_at
"""

LISTED: Final = COLUMNS.replace(" value,", f" substr(value, 1, {4 * LISTED_CHARACTERS}) AS value,")

OPEN: Final = "state IN ('poison', 'parked', 'blocked')"

WAITING: Final = f"""
    (consumer_group, topic, key) = ($1, $2, $3) AND octet_length(key) <= {MAX_KEY_BYTES} AND {OPEN}
"""

EARLIER: Final = f"""
    SELECT EXISTS (
        SELECT FROM dead_letter
        WHERE {WAITING} AND (partition, "offset") < ($4, $5) AND state IN ('poison', 'blocked')
    )
"""

BEHIND: Final = f"""
    SELECT {COLUMNS} FROM dead_letter WHERE {WAITING} AND (partition, "offset") > ($4, $5)
    ORDER BY partition, "offset" LIMIT {{limit}} FOR UPDATE
"""

LEFT: Final = f"SELECT count(*) FROM (SELECT FROM dead_letter WHERE {WAITING} LIMIT {COUNT_LIMIT}) AS counted"


class NoSuchDeadLetter(Exception):
    problem = Problem(404, "no-such-dead-letter", "No dead letter has this id")


class NotPoison(Exception):
    """Only a poison event can be resolved. The events parked behind it are then handled too."""

    problem = Problem(409, "not-poison", "Only a dead letter in state poison, the earliest of its key, can be resolved")


class Failed(NamedTuple):
    """Why an event is poison."""

    reason: str
    fingerprint: str


class StillPoison(Exception):
    """The handler failed again, so nothing was changed."""

    problem = Problem(409, "still-poison", "The handler failed again; nothing was changed")

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


class DeadLetter(BaseModel):
    id: int
    group: str
    topic: str
    partition: int
    offset: int
    key: str | None
    state: State
    reason: str
    fingerprint: str
    headers: dict[str, str]
    value: str = Field(
        description=f"The data as text. A list shows the first {LISTED_CHARACTERS} characters. Bytes that are not "
        "UTF-8 are shown as `\\xff`: `/v1/dead-letters/{id}/value` has them as they are"
    )
    size: int = Field(description="The bytes of the data")
    created_at: datetime
    parked_behind: int = Field(0, description=f"Counted up to {COUNT_LIMIT}")


class Resolution(BaseModel):
    """The result, also of a dry run: `applied` events were handled, `left` events of the key still wait.

    They wait behind a new `failure`, or `job` handles them, because they are too many for one transaction.
    """

    id: int
    state: State
    applied: int
    published: list[str]
    left: int
    failure: str | None
    job: UUID | None = Field(None, description="The job that handles the events that are left")
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Resolve:
    """`value` and `headers` replace the record's own before it is handled: fix and resend."""

    id: int
    action: Action
    value: bytes | None = None
    headers: Mapping[str, str] | None = None
    job: UUID | None = None


@dataclass(slots=True)
class Resolved:
    """What one unit did: `state` of the dead letter, what it was before, and the ids of the events that were handled.

    `poison` is the event behind that failed. `next` is the event with which another unit must go on: it is poison
    meanwhile, so that a key never waits without one. `left` events of the key wait; a job does not count them.
    """

    state: State
    applied: list[int] = field(default_factory=list)
    was: Mapping[str, object] = field(default_factory=dict)
    poison: tuple[int, Failed] | None = None
    next: int | None = None
    left: int = 0


SHOWN_CHARACTERS: Final = 4_000
"""An operator's action shows this much of a record."""

_CONTINUED: Final = "the events before this one were redriven; redrive it to go on"
CONTINUED: Final = Failed(_CONTINUED, fingerprint(_CONTINUED))


async def resolve(
    unit: Unit, command: Resolve, inboxes: Mapping[str, Inbox], *, limit: int = CHUNK, patient: bool = False
) -> Resolved:
    """Resolve a poison event, then handle events parked behind it in offset order: at most `limit`, all in this unit.

    The key is parked no longer if none of its events is left. If `patient`, a reaction that fails for a passing reason
    counts as failed; otherwise its error is raised. Raise NoSuchDeadLetter, NotPoison, StillPoison.
    """
    found = await unit.sql.fetchrow("SELECT consumer_group, topic, key FROM dead_letter WHERE id = $1", command.id)
    if found is None:
        raise NoSuchDeadLetter(str(command.id))
    key: _Key = (found["consumer_group"], found["topic"], found["key"])
    row = await unit.sql.fetchrow(f"SELECT {COLUMNS} FROM dead_letter WHERE id = $1 FOR UPDATE", command.id)
    if row is None or row["state"] != "poison":
        raise NotPoison(f"The dead letter is {'handled' if row is None else row['state']}")
    inbox = inboxes.get(key[0])
    if inbox is None:
        raise NotPoison(f"The service no longer has the consumer group {key[0]}")
    if await unit.sql.fetchval(EARLIER, *key, row["partition"], row["offset"]):
        raise NotPoison("An earlier event of the same key is poison or blocked: it comes first")

    done = Resolved("discarded" if command.action == "discard" else "redriven", was=_was(row, command))
    if command.action != "discard":
        record = _record(row, command.value, command.headers)
        if failed := await _try(unit, inbox, [record], patient):
            raise StillPoison(failed)
        done.applied.append(row["id"])
    await _close(unit.sql, [row["id"]], done.state, command)
    if key[2] is not None:
        at = row["partition"], row["offset"]
        await _handle_waiting(unit, inbox, key, at, command, done, limit, patient)
    return done


def _was(row: asyncpg.Record, command: Resolve) -> Mapping[str, object]:
    was = {name: row[name] for name in ("state", "reason", "fingerprint")}
    if command.action == "resend":
        was |= {"headers": json.loads(row["headers"]), "value": shown(row["value"])}
    return was


def shown(value: bytes) -> str:
    """Return the beginning of a record's value as text, for the list of operators' actions."""
    return value[: 4 * SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")[:SHOWN_CHARACTERS]


_Key: TypeAlias = tuple[str, str, bytes | None]
"""Group, topic and key."""


async def _handle_waiting(
    unit: Unit,
    inbox: Inbox,
    key: _Key,
    at: tuple[int, int],
    command: Resolve,
    done: Resolved,
    limit: int,
    patient: bool,
) -> None:
    """Handle the events that wait, in order. Release the key if none is left; else its next event becomes poison.

    `at` is the place of the event that is resolved. Reading begins there, so that no batch reads the events before it.
    """
    until = monotonic() + CHUNK_SECONDS
    behind = replace(command, action="redrive", value=None, headers=None)
    locked = False
    while True:
        room = 0 if monotonic() > until else min(BATCH, limit - len(done.applied))
        waiting = await _behind(unit.sql, key, at, room + 1)
        batch = waiting[:room]
        count, failed = await _apply(unit, inbox, [record_of(row) for row in batch], patient)
        handled = [row["id"] for row in batch[:count]]
        await _close(unit.sql, handled, "redriven", behind)
        done.applied += handled
        if failed is not None:
            done.poison = batch[count]["id"], failed
            await mark_poison(unit.sql, *done.poison)
            break
        if len(waiting) > len(batch):
            if room > 0:
                at = batch[-1]["partition"], batch[-1]["offset"]
                continue
            done.next = waiting[0]["id"]
            await mark_poison(unit.sql, waiting[0]["id"], CONTINUED)
            break
        if locked:
            await unit.sql.execute(RELEASE_KEY, *key)
            return
        # Only now, because consumers that add an event to the key wait for this lock. They may have added some.
        await unit.sql.execute(LOCK_KEY, *key)
        locked, at = True, (-1, -1)
    if command.job is None:
        done.left = await unit.sql.fetchval(LEFT, *key)


async def _apply(unit: Unit, inbox: Inbox, records: Sequence[Record], patient: bool) -> tuple[int, Failed | None]:
    """Handle records of one key in order. Return how many were handled, and why the next one failed.

    They are handled at once. If that fails, the first half is tried, then the second half.
    """
    if not records:
        return 0, None
    failed = await _try(unit, inbox, records, patient)
    if failed is None or len(records) == 1:
        return (0 if failed else len(records)), failed
    half = len(records) // 2
    count, failed = await _apply(unit, inbox, records[:half], patient)
    if failed is None:
        more, failed = await _apply(unit, inbox, records[half:], patient)
        count += more
    return count, failed


async def _try(unit: Unit, inbox: Inbox, records: Sequence[Record], patient: bool) -> Failed | None:
    """Handle records. Return why one is still poison: it is no event of this group, or its reaction fails."""
    ce_type = ""
    for record in records:
        decoded = inbox.subscription.catalogue.decode(record.message)
        if isinstance(decoded, Malformed):
            return Failed(decoded.reason, fingerprint(decoded.reason))
        ce_type = decoded.type if isinstance(decoded, Unknown) else decoded.event.ce_type
        if ce_type not in inbox.subscription.types:
            reason = f"{inbox.subscription.group} handles no event of the type {ce_type}"
            return Failed(reason, fingerprint(reason))
    try:
        async with unit.savepoint():
            await inbox.apply(unit, records)
    except Exception as error:
        if unit.sql.is_closed() or (is_transient(error) and not patient):
            raise
        failure = Failure(ce_type, error, inbox.subscription.packages)
        return Failed(failure.reason, failure.fingerprint)
    return None


async def _behind(sql: asyncpg.Connection, key: _Key, after: tuple[int, int], limit: int) -> Sequence[asyncpg.Record]:
    """Lock and return the first events of a key that wait after this place, in their order."""
    rows: Sequence[asyncpg.Record] = await sql.fetch(BEHIND.format(limit=limit), *key, *after)
    return rows


async def mark_poison(sql: asyncpg.Connection, id: int, failed: Failed) -> None:
    await sql.execute(
        "UPDATE dead_letter SET state = 'poison', reason = $2, fingerprint = $3 WHERE id = $1",
        id,
        storable(failed.reason),
        failed.fingerprint,
    )


async def _close(sql: asyncpg.Connection, ids: Sequence[int], state: State, command: Resolve) -> None:
    """Store the outcome of events. The action on `behind`, `job` or the letter itself has the reason."""
    if not ids:
        return
    resolution: dict[str, Any] = {"action": command.action}
    if command.id not in ids:
        resolution["behind"] = command.id
    if command.job is not None:
        resolution["job"] = str(command.job)
    if command.value is not None:
        resolution["value"] = command.value.decode("utf-8", "replace")
    if command.headers is not None:
        resolution["headers"] = dict(command.headers)
    await sql.execute(
        "UPDATE dead_letter SET state = $2, resolved_at = now(), resolution = $3::json WHERE id = ANY($1::bigint[])",
        ids,
        state,
        json.dumps(resolution),
    )


def _record(row: asyncpg.Record, value: bytes | None = None, headers: Mapping[str, str] | None = None) -> Record:
    record = record_of(row)
    message = record.message
    merged = {**message.headers, **{name: text.encode() for name, text in (headers or {}).items()}}
    return replace(record, message=replace(message, value=message.value if value is None else value, headers=merged))


def find_statement(
    *,
    state: State | None,
    fingerprint: str | None,
    after: int | None,
    limit: int,
    id: int | None = None,
    key: bytes | None = None,
) -> tuple[str, list[object]]:
    """Return the statement that finds dead letters, and its arguments. An index serves each filter.

    Of a `key`, only the letters that are not resolved are found: the index has no others.
    """
    conditions, arguments = ["true"], list[object]()
    if key is not None:
        arguments.append(key)
        conditions.append(f"key = $1 AND octet_length(key) <= {MAX_KEY_BYTES} AND {OPEN}")
    for condition, value in (("state =", state), ("fingerprint =", fingerprint), ("id >", after), ("id =", id)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    # The state is an expression, because the index of a state seems cheap while the statistics are older than the
    # parked events. Each row would then read all parked events, and not only those of its key.
    statement = f"""
        SELECT {LISTED if id is None else COLUMNS}, octet_length(value) AS size, CASE WHEN state = 'poison' THEN (
            SELECT count(*) FROM (
                SELECT FROM dead_letter AS parked
                WHERE parked.{OPEN} AND parked.state || '' = 'parked'
                AND parked.consumer_group = dead_letter.consumer_group
                AND parked.topic = dead_letter.topic AND parked.key = dead_letter.key
                AND octet_length(parked.key) <= {MAX_KEY_BYTES}
                LIMIT {COUNT_LIMIT}
            ) AS counted
        ) ELSE 0 END AS parked_behind
        FROM dead_letter WHERE {" AND ".join(conditions)} ORDER BY id LIMIT {limit:d}
    """
    return statement, arguments


async def find(
    database: Database,
    *,
    state: State | None = None,
    fingerprint: str | None = None,
    after: int | None = None,
    limit: int = 1,
    id: int | None = None,
    key: bytes | None = None,
) -> list[DeadLetter]:
    """Return dead letters, newest last, and how many events are parked behind each poison event."""
    statement, arguments = find_statement(
        state=state, fingerprint=fingerprint, after=after, limit=limit, id=id, key=key
    )
    async with database.unit() as unit:
        rows = await unit.sql.fetch(statement, *arguments)
    return [
        DeadLetter(
            id=row["id"],
            group=row["consumer_group"],
            topic=row["topic"],
            partition=row["partition"],
            offset=row["offset"],
            key=None if row["key"] is None else row["key"].decode("utf-8", "backslashreplace"),
            state=row["state"],
            reason=row["reason"],
            fingerprint=row["fingerprint"],
            headers=json.loads(row["headers"]),
            value=row["value"].decode("utf-8", "backslashreplace")[: None if id is not None else LISTED_CHARACTERS],
            size=row["size"],
            created_at=row["created_at"],
            parked_behind=row["parked_behind"],
        )
        for row in rows
    ]


async def find_value(database: Database, id: int) -> bytes:
    """Return the data of a dead letter. Raise NoSuchDeadLetter."""
    async with database.unit() as unit:
        row = await unit.sql.fetchrow("SELECT value FROM dead_letter WHERE id = $1", id)
    if row is None:
        raise NoSuchDeadLetter(str(id))
    return bytes(row["value"])
