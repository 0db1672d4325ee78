"""Stops: why a partition or a whole group waits. Consumers store them, and people decide about them over HTTP."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import to_json

from crossdock_chassis.database.actions import Actor, record_action
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.problems import Problem

Kind: TypeAlias = Literal["version", "lost", "no-position", "breaker"]
"""`version`: the next record is newer than the build. `lost`: the log does not have the group's position.

`no-position`: the group has no position in the partition. `breaker`: key after key fails for one reason.
"""

Action: TypeAlias = Literal["skip", "park"]
Scope: TypeAlias = Literal["record", "type"]
Place: TypeAlias = Literal["beginning", "end"]
Outcome: TypeAlias = Literal["went_on", "done", "withdrawn"]

SHOWN_CHARACTERS: Final = 4_000
"""A stop shows this much of its record. A record that is set aside or dropped is kept whole, as a dead letter."""

SILENT_SECONDS = 6.0
"""A breaker's stop ends if no member has reported it for this long and its events are handled again."""

POSITION: Final = """
    SELECT next FROM consumer_position AS position
    WHERE (position.consumer_group, position.topic, position.partition)
        = (stop.consumer_group, stop.topic, stop.partition)
"""

# A decision for a whole type outlives the record at which it was made. It ends once the build knows the type.
WENT_ON: Final = f"""
    UPDATE consumer_stop AS stop SET ended_at = now(), outcome = 'went_on'
    WHERE consumer_group = $1 AND ended_at IS NULL AND CASE
        WHEN kind = 'breaker' THEN decision IS NULL AND fingerprint = ANY ($3::text[])
            AND seen_at < now() - $4 * interval '1 second'
        WHEN scope = 'type' THEN ce_type = ANY ($2::text[])
        ELSE "offset" IS DISTINCT FROM ({POSITION})
    END
"""

# A member that has lost its partition may report late. Its stop is stored only if the position is still there.
REPORT: Final = f"""
    INSERT INTO consumer_stop
        (consumer_group, kind, topic, partition, "offset", ce_type, fingerprint, reason, record, log_start, log_end)
    SELECT $1, kind, topic, partition, "offset", ce_type, fingerprint, reason, record, log_start, log_end
    FROM (SELECT $1 AS consumer_group, * FROM json_to_recordset($2::json) AS new (
        kind text, topic text, partition int, "offset" bigint, ce_type text, fingerprint text, reason text, record json,
        log_start bigint, log_end bigint
    )) AS stop
    WHERE kind = 'breaker' OR "offset" IS NOT DISTINCT FROM ({POSITION})
    ORDER BY kind, topic, partition
    ON CONFLICT (consumer_group, kind, topic, partition, ce_type, fingerprint) WHERE ended_at IS NULL
    DO UPDATE SET seen_at = now(), log_start = excluded.log_start, log_end = excluded.log_end
"""

OPEN: Final = """
    SELECT id, kind, topic, partition, "offset", ce_type, fingerprint, log_start, decision, scope, move_to, decided_by,
           decided_why
    FROM consumer_stop WHERE consumer_group = $1 AND ended_at IS NULL ORDER BY id
"""

CARRIED_OUT: Final = """
    UPDATE consumer_stop AS stop SET records = stop.records + new.records,
        ended_at = CASE WHEN scope = 'record' THEN now() END, outcome = CASE WHEN scope = 'record' THEN 'done' END
    FROM unnest($1::bigint[], $2::bigint[]) AS new (id, records)
    WHERE stop.id = new.id AND ended_at IS NULL AND decision IS NOT NULL
"""

MOVED: Final = """
    UPDATE consumer_stop SET ended_at = now(), outcome = 'done', moved_to = $2
    WHERE id = $1 AND ended_at IS NULL AND decision IS NOT NULL
"""

MOVE: Final = """
    UPDATE consumer_position SET next = $5 WHERE (consumer_group, topic, partition, next) = ($1, $2, $3, $4)
"""

PLACE: Final = """
    INSERT INTO consumer_position (consumer_group, topic, partition, next) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING
"""

TOLERATED: Final = """
    UPDATE consumer_stop AS stop SET records = stop.records + new.records
    FROM unnest($2::text[], $3::bigint[]) AS new (fingerprint, records)
    WHERE consumer_group = $1 AND kind = 'breaker' AND ended_at IS NULL AND stop.fingerprint = new.fingerprint
"""

DECIDE: Final = """
    UPDATE consumer_stop
    SET decision = $2, scope = $3, move_to = $4, decided_by = $5, decided_why = $6, decided_at = now()
    WHERE id = $1 RETURNING *
"""

WITHDRAW: Final = """
    UPDATE consumer_stop SET ended_at = now(), outcome = 'withdrawn', ended_by = $2, ended_why = $3
    WHERE id = $1 RETURNING *
"""


class DecisionWithdrawn(Exception):
    """The decision was withdrawn, or another member has carried it out. The unit is rolled back."""


class NoSuchStop(Exception):
    problem = Problem(404, "no-such-stop", "No stop has this id")


class StopEnded(Exception):
    problem = Problem(409, "stop-ended", "The stop has ended; read it again")


class AlreadyDecided(Exception):
    problem = Problem(409, "stop-decided", "Another decision stands; end it first, or wait until it is carried out")


class UnfitDecision(Exception):
    problem = Problem(409, "unfit-decision", "This stop needs another decision; `detail` names it")


# --- what a consumer stores and reads


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop as its member sees it. `offset` is the group's next offset."""

    kind: Kind
    reason: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    ce_type: str | None = None
    fingerprint: str | None = None
    record: Mapping[str, str | None] | None = None
    log_start: int | None = None
    log_end: int | None = None


class OpenStop(NamedTuple):
    """An open stop of a group as a consumer reads it, with the decision about it."""

    id: int
    kind: Kind
    topic: str | None
    partition: int | None
    offset: int | None
    ce_type: str | None
    fingerprint: str | None
    log_start: int | None
    decision: Action | None
    scope: Scope | None
    move_to: Place | None
    decided_by: str | None
    decided_why: str | None

    def covers(self, stop: Stop) -> bool:
        """Return whether this is the stop, or the decision for the whole type at which it stopped."""
        if (self.kind, self.ce_type) != (stop.kind, stop.ce_type):
            return False
        place = self.topic, self.partition, self.offset
        return self.scope == "type" or place == (stop.topic, stop.partition, stop.offset)


def shown(record: Record) -> dict[str, str | None]:
    """Return the parts of a record that a person needs for a decision, cut and without bytes that break JSON."""
    message = record.message
    id = message.headers.get("ce_id")
    return {
        "id": None if id is None else _text(id),
        "key": None if message.key is None else _text(message.key),
        "value": _text(message.value[: 4 * SHOWN_CHARACTERS]),
    }


def _text(raw: bytes) -> str:
    return storable(raw.decode("utf-8", "backslashreplace"))[:SHOWN_CHARACTERS]


async def report(
    unit: Unit, group: str, current: Sequence[Stop], *, known: Collection[str], handled: Collection[str]
) -> list[OpenStop]:
    """Store the stops of a member, end those that are over, and return the open stops of the group.

    `known` are the types of this build. `handled` are fingerprints whose events are handled again.
    """
    await unit.sql.execute(WENT_ON, group, sorted(known), sorted(handled), SILENT_SECONDS)
    if current:
        stops = [{**asdict(stop), "reason": storable(stop.reason)} for stop in current]
        await unit.sql.execute(REPORT, group, to_json(stops).decode())
    return [OpenStop(*row.values()) for row in await unit.sql.fetch(OPEN, group)]


async def carried_out(unit: Unit, records: Mapping[int, int]) -> None:
    """Count the records to which decisions applied, by the id of the stop. Raise DecisionWithdrawn."""
    outcome = await unit.sql.execute(CARRIED_OUT, list(records), list(records.values()))
    if outcome != f"UPDATE {len(records)}":
        raise DecisionWithdrawn


async def count_tolerated(unit: Unit, group: str, records: Mapping[str, int]) -> None:
    """Count the events that were set aside although the breaker would stop the group, by fingerprint."""
    await unit.sql.execute(TOLERATED, group, list(records), list(records.values()))


async def move(unit: Unit, group: str, stop: OpenStop, beginning: int, end: int) -> int:
    """Set the position of a stopped partition as decided, and end the stop. Raise DecisionWithdrawn."""
    if stop.move_to == "end":
        to = end
    elif stop.offset is not None and stop.log_start is not None and stop.offset < stop.log_start:
        to = max(beginning, stop.log_start)  # the log may have a gap far behind its beginning
    else:
        to = beginning
    if stop.offset is None:
        outcome = await unit.sql.execute(PLACE, group, stop.topic, stop.partition, to)
    else:
        outcome = await unit.sql.execute(MOVE, group, stop.topic, stop.partition, stop.offset, to)
    ended = await unit.sql.execute(MOVED, stop.id, to)
    if outcome.endswith(" 0") or ended != "UPDATE 1":
        raise DecisionWithdrawn
    return to


# --- what a person sees and decides


class StoppedRecord(BaseModel):
    """The record at which a partition stopped: its event id, key and value as text, cut at 4,000 characters."""

    id: str | None
    key: str | None
    value: str


class StoredStop(BaseModel):
    id: int
    group: str
    kind: Kind
    topic: str | None = Field(description="Null for a breaker, which stops the whole group")
    partition: int | None
    offset: int | None = Field(description="The group's next offset; null without a position")
    type: str | None = Field(description="The type of the event that is too new or fails")
    fingerprint: str | None = Field(description="The fingerprint of the failure, as in the dead letters")
    reason: str
    record: StoppedRecord | None
    log_start: int | None = Field(description="The offset at which the log goes on")
    log_end: int | None
    since: datetime
    seen_at: datetime = Field(description="When a consumer has last reported the stop")
    decision: Action | None
    scope: Scope | None = Field(
        description="`type`: the decision holds for every record of this type until it is ended"
    )
    move_to: Place | None
    decided_by: str | None
    decided_why: str | None
    decided_at: datetime | None
    records: int = Field(description="Records that the decision has set aside or dropped")
    moved_to: int | None = Field(description="The position that the decision has set")
    ended_at: datetime | None
    outcome: Outcome | None = Field(description="`went_on`: without a decision; `done`: the decision was carried out")
    ended_by: str | None
    ended_why: str | None


class Decided(BaseModel):
    """The decision, also of a dry run. A consumer carries it out within seconds."""

    stop: StoredStop
    lost: int | None = Field(description="Records that the group will never handle; null if nobody can know")
    set_aside: int | None = Field(description="Records that become dead letters; null if nobody can know")
    effect: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Decide:
    id: int
    action: Action
    by: Actor
    why: str
    scope: Scope | None = None
    move_to: Place | None = None


async def decide(unit: Unit, command: Decide, *, dry_run: bool) -> Decided:
    """Store a decision. The same decision again changes nothing.

    Raise NoSuchStop, StopEnded, AlreadyDecided, UnfitDecision.
    """
    stop = await _lock(unit, command.id)
    scope, move_to = _fitting(stop, command)
    if stop.decision is None:
        row = await unit.sql.fetchrow(DECIDE, stop.id, command.action, scope, move_to, command.by.who, command.why)
        stop = await _acted(unit, command.by, f"stop:{command.action}", command.why, stop, _stored(row))
    elif (stop.decision, stop.scope, stop.move_to) != (command.action, scope, move_to):
        raise AlreadyDecided(f"{stop.decided_by} has decided to {stop.decision}")
    lost, set_aside, effect = _effect(stop)
    return Decided(stop=stop, lost=lost, set_aside=set_aside, effect=effect, dry_run=dry_run)


async def withdraw(unit: Unit, id: int, *, by: Actor, why: str) -> StoredStop:
    """End a decision. If the cause is still there, the consumer stops again.

    Raise NoSuchStop, StopEnded, UnfitDecision.
    """
    stop = await _lock(unit, id)
    if stop.decision is None:
        raise UnfitDecision("Nothing is decided yet: use skip or park")
    ended = _stored(await unit.sql.fetchrow(WITHDRAW, id, by.who, why))
    return await _acted(unit, by, "stop:end", why, stop, ended)


async def _acted(unit: Unit, by: Actor, action: str, why: str, was: StoredStop, stop: StoredStop) -> StoredStop:
    """Record what a person has decided. Return the stop after it."""
    shown = {"decision", "scope", "move_to", "outcome"}
    before, after = was.model_dump(include=shown), stop.model_dump(include=shown)
    await record_action(unit, by, action, f"/v1/stopped/{stop.id}", why=why, before=before, after=after)
    return stop


async def find(
    database: Database, *, open_only: bool, after: int | None = None, limit: int = 1, id: int | None = None
) -> list[StoredStop]:
    """Return stops, newest last."""
    async with database.unit() as unit:
        rows = await unit.sql.fetch(
            """
            SELECT * FROM consumer_stop
            WHERE (NOT $1 OR ended_at IS NULL) AND ($2::bigint IS NULL OR id > $2) AND ($3::bigint IS NULL OR id = $3)
            ORDER BY id LIMIT $4
            """,
            open_only,
            after,
            id,
            limit,
        )
    return [_stored(row) for row in rows]


async def _lock(unit: Unit, id: int) -> StoredStop:
    row = await unit.sql.fetchrow("SELECT * FROM consumer_stop WHERE id = $1 FOR UPDATE", id)
    if row is None:
        raise NoSuchStop(str(id))
    if row["ended_at"] is not None:
        raise StopEnded(f"It ended at {row['ended_at'].isoformat()}: {row['outcome']}")
    if row["kind"] != "breaker" and row["scope"] != "type":
        position = await unit.sql.fetchval(f"SELECT ({POSITION}) FROM consumer_stop AS stop WHERE id = $1", id)
        if position != row["offset"]:
            raise StopEnded(f"The group has gone on: its position is {position}")
    return _stored(row)


def _fitting(stop: StoredStop, command: Decide) -> tuple[Scope | None, Place | None]:
    """Return the scope and the place of a decision, with their defaults. Raise UnfitDecision."""
    if command.scope is not None and stop.kind != "version":
        raise UnfitDecision("`scope` is for records that are newer than the build: leave it out")
    if command.move_to is not None and stop.kind not in ("lost", "no-position"):
        raise UnfitDecision("`move_to` is for a position that the log does not have: leave it out")
    match stop.kind, command.action:
        case "version", _:
            return command.scope or "record", None
        case "breaker", "park":
            return None, None
        case "breaker", _:
            raise UnfitDecision(
                f"No failing event is dropped unseen. Use park, then discard the dead letters of {stop.fingerprint}"
            )
        case _, "park":
            raise UnfitDecision("There is no record to park. Use skip, which sets the position of the group")
    if command.move_to is None and not _behind(stop):
        raise UnfitDecision(
            "State `move_to`. `beginning` handles old events again, unless the inbox still knows their ids. `end` "
            "skips events that the group has not handled"
        )
    return None, command.move_to or "beginning"


def _behind(stop: StoredStop) -> bool:
    """Return whether the log has lost the records at the position, and goes on after it."""
    return stop.offset is not None and stop.log_start is not None and stop.offset < stop.log_start


def _effect(stop: StoredStop) -> tuple[int | None, int | None, str]:
    """Return how many records are lost and set aside by the decision, and a sentence about its effect."""
    place = f"{stop.topic}/{stop.partition}"
    each = f"Every {stop.type}" if stop.scope == "type" else f"The {stop.type} at offset {stop.offset} of {place}"
    one = None if stop.scope == "type" else 1
    start, end, offset = stop.log_start or 0, stop.log_end or 0, stop.offset
    match stop.kind, stop.decision:
        case "version", "skip":
            return one, 0, f"{each} is dropped. It is kept as a discarded dead letter."
        case "version", _:
            return 0, one, f"{each} becomes a dead letter. Later events of its key wait behind it."
        case "breaker", _:
            return (
                0,
                None,
                f"Events that fail with {stop.fingerprint} become dead letters, until you end this decision.",
            )
    if offset is None:
        lost = end - start if stop.move_to == "end" else 0
    else:
        lost = max(0, (end if stop.move_to == "end" else start) - offset)
    if stop.move_to == "end":
        return lost, 0, f"The group goes on at the end of {place}, now offset {end}. {lost} offsets are not handled."
    again = "" if _behind(stop) else f" Its {end - start} offsets are read, also those that were handled before."
    return lost, 0, f"The group goes on at offset {start} of {place}. {lost} offsets are gone.{again}"


def _stored(row: asyncpg.Record) -> StoredStop:
    values: dict[str, Any] = {**row, "group": row["consumer_group"], "type": row["ce_type"]}
    return StoredStop(**values)
