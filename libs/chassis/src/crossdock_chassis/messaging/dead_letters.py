"""Show and resolve events that could not be handled. The table is authoritative; the topic in Kafka is a copy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis.database.unit import Database, Unit, is_transient
from crossdock_chassis.messaging.aside import MAX_KEY_BYTES, Record, fingerprint, record_of
from crossdock_chassis.messaging.breaker import Failure
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.problems import Problem
from crossdock_events import Malformed, Unknown

State = Literal["poison", "parked", "blocked", "redriven", "discarded"]

LOCK_KEY = "SELECT FROM parked_key WHERE (consumer_group, topic, key) = ($1, $2, $3) FOR UPDATE"

RELEASE_KEY = "DELETE FROM parked_key WHERE (consumer_group, topic, key) = ($1, $2, $3)"

COUNT_LIMIT: Final = 10_000

COLUMNS = """
    id, consumer_group, topic, partition, "offset", key, value, headers::text AS headers, state, reason, fingerprint,
    created_at
"""


class NoSuchDeadLetter(Exception):
    problem = Problem(404, "no-such-dead-letter", "No dead letter has this id")


class NotPoison(Exception):
    """Only a poison event can be resolved. The events parked behind it are then handled too."""

    problem = Problem(409, "not-poison", "Only a dead letter in state poison, the earliest of its key, can be resolved")


class StillPoison(Exception):
    """The handler failed again, so nothing was changed."""

    problem = Problem(409, "still-poison", "The handler failed again; nothing was changed")


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
    value: str
    created_at: datetime
    parked_behind: int = Field(0, description=f"Counted up to {COUNT_LIMIT}")


class Resolution(BaseModel):
    """The result, also of a dry run: `applied` events were handled, `left` events wait behind a new failure."""

    id: int
    state: State
    applied: int
    published: list[str]
    left: int
    failure: str | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Resolve:
    """`value` and `headers` replace the record's own before it is handled: fix and resend."""

    id: int
    action: Literal["redrive", "discard", "resend"]
    by: str
    reason: str
    value: bytes | None = None
    headers: Mapping[str, str] | None = None


async def resolve(unit: Unit, command: Resolve, inboxes: Mapping[str, Inbox], *, dry_run: bool) -> Resolution:
    """Resolve a poison event, then handle the events parked behind it in offset order, all in this unit.

    The key is parked no longer if none of its events is left. Raise NoSuchDeadLetter, NotPoison, StillPoison.
    """
    row = await unit.sql.fetchrow(f"SELECT {COLUMNS} FROM dead_letter WHERE id = $1", command.id)
    if row is None:
        raise NoSuchDeadLetter(str(command.id))
    group, topic, key = row["consumer_group"], row["topic"], row["key"]
    waiting = await _behind(unit.sql, group, topic, key)
    row = await unit.sql.fetchrow(f"SELECT {COLUMNS} FROM dead_letter WHERE id = $1 FOR UPDATE", command.id)
    if row["state"] != "poison":
        raise NotPoison(f"The dead letter is {row['state']}")
    inbox = inboxes.get(group)
    if inbox is None:
        raise NotPoison(f"The service no longer has the consumer group {group}")
    if any(other["state"] in ("poison", "blocked") and other["offset"] < row["offset"] for other in waiting):
        raise NotPoison("An earlier event of the same key is poison or blocked: it comes first")

    applied = 0
    if command.action != "discard":
        record = _record(row, command.value, command.headers)
        if failed := await _try(unit, inbox, record):
            raise StillPoison(failed.reason)
        applied += 1
    state: State = "discarded" if command.action == "discard" else "redriven"
    await _close(unit.sql, row["id"], state, command)
    more, failure, left = await _redrive(unit, inbox, [each for each in waiting if each["id"] != row["id"]], command)
    applied += more
    if failure is None and key is not None:
        # Only now, because consumers that add an event to the key wait for this lock. They may have added some.
        await unit.sql.execute(LOCK_KEY, group, topic, key)
        more, failure, left = await _redrive(unit, inbox, await _behind(unit.sql, group, topic, key), command)
        applied += more
        if failure is None:
            await unit.sql.execute(RELEASE_KEY, group, topic, key)
    published = [envelope.event.ce_type for envelope in unit.published]
    return Resolution(
        id=command.id,
        state=state,
        applied=applied,
        published=published,
        left=left,
        failure=failure,
        dry_run=dry_run,
    )


async def _redrive(
    unit: Unit, inbox: Inbox, waiting: Sequence[asyncpg.Record], command: Resolve
) -> tuple[int, str | None, int]:
    """Handle events in order. Return how many were applied, why the next one failed, and how many are left."""
    for applied, row in enumerate(waiting):
        if failure := await _try(unit, inbox, _record(row)):
            await unit.sql.execute(
                "UPDATE dead_letter SET state = 'poison', reason = $2, fingerprint = $3 WHERE id = $1",
                row["id"],
                failure.reason,
                failure.fingerprint,
            )
            return applied, failure.reason, len(waiting) - applied
        await _close(unit.sql, row["id"], "redriven", command)
    return len(waiting), None, 0


class _Failed(NamedTuple):
    reason: str
    fingerprint: str


async def _try(unit: Unit, inbox: Inbox, record: Record) -> _Failed | None:
    """Handle one record. Return why it is still poison: it is no event of this group, or its reaction fails."""
    decoded = inbox.subscription.catalogue.decode(record.message)
    if isinstance(decoded, Malformed):
        return _Failed(decoded.reason, fingerprint(decoded.reason))
    ce_type = decoded.type if isinstance(decoded, Unknown) else decoded.event.ce_type
    if ce_type not in inbox.subscription.types:
        reason = f"{inbox.subscription.group} handles no event of the type {ce_type}"
        return _Failed(reason, fingerprint(reason))
    try:
        async with unit.savepoint():
            await inbox.apply(unit, record)
    except Exception as error:
        if is_transient(error):
            raise
        failure = Failure(ce_type, error, inbox.subscription.packages)
        return _Failed(failure.reason, failure.fingerprint)
    return None


async def _behind(sql: asyncpg.Connection, group: str, topic: str, key: bytes | None) -> Sequence[asyncpg.Record]:
    if key is None:
        return []
    rows: Sequence[asyncpg.Record] = await sql.fetch(
        f"""
        SELECT {COLUMNS} FROM dead_letter
        WHERE (consumer_group, topic, key) = ($1, $2, $3) AND octet_length(key) <= {MAX_KEY_BYTES}
          AND state IN ('poison', 'parked', 'blocked')
        ORDER BY partition, "offset" FOR UPDATE
        """,
        group,
        topic,
        key,
    )
    return rows


async def _close(sql: asyncpg.Connection, id: int, state: State, command: Resolve) -> None:
    resolution: dict[str, Any] = {"action": command.action, "by": command.by, "reason": command.reason}
    if id == command.id and command.value is not None:
        resolution["value"] = command.value.decode("utf-8", "replace")
    if id == command.id and command.headers is not None:
        resolution["headers"] = dict(command.headers)
    await sql.execute(
        "UPDATE dead_letter SET state = $2, resolved_at = now(), resolution = $3::json WHERE id = $1",
        id,
        state,
        json.dumps(resolution),
    )


def _record(row: asyncpg.Record, value: bytes | None = None, headers: Mapping[str, str] | None = None) -> Record:
    record = record_of(row)
    message = record.message
    merged = {**message.headers, **{name: text.encode() for name, text in (headers or {}).items()}}
    return replace(record, message=replace(message, value=message.value if value is None else value, headers=merged))


def find_statement(
    *, state: State | None, fingerprint: str | None, after: int | None, limit: int, id: int | None = None
) -> tuple[str, list[object]]:
    """Return the statement that finds dead letters, and its arguments. An index serves each filter."""
    conditions, arguments = ["true"], list[object]()
    for condition, value in (("state =", state), ("fingerprint =", fingerprint), ("id >", after), ("id =", id)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    statement = f"""
        SELECT {COLUMNS}, CASE WHEN state = 'poison' THEN (
            SELECT count(*) FROM (
                SELECT FROM dead_letter AS parked
                WHERE parked.state = 'parked' AND parked.consumer_group = dead_letter.consumer_group
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
) -> list[DeadLetter]:
    """Return dead letters, newest last, and how many events are parked behind each poison event."""
    statement, arguments = find_statement(state=state, fingerprint=fingerprint, after=after, limit=limit, id=id)
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
            value=row["value"].decode("utf-8", "backslashreplace"),
            created_at=row["created_at"],
            parked_behind=row["parked_behind"],
        )
        for row in rows
    ]
