"""Show and resolve effects. Payloads may contain personal data, so only the result of `describe` is shown."""

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis.database.actions import Actor, find_actions, record_action
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.effects.performer import Performer
from crossdock_chassis.problems import Problem

log = logging.getLogger(__name__)

State = Literal["pending", "done", "given_up", "discarded"]
Action = Literal["redrive", "discard"]

PATH: Final = "/v1/effects/"
RESOLUTIONS: Final = 2_000
"""The most resolutions that a page shows. An effect with more than a few was redriven again and again."""

COLUMNS: Final = """
    id, kind, target, key, state, attempts, created_at, pending_since, due_at, finished_at, reason, payload::text,
    result::text, claimed_by IS NOT NULL AND due_at > now() AS in_flight
"""

# Literals, because PostgreSQL cannot use the partial index of a state that is a parameter.
IN_STATE: Final[dict[State | None, str]] = {
    None: "true",
    "pending": "state = 'pending'",
    "done": "state = 'done'",
    "given_up": "state = 'given_up'",
    "discarded": "state = 'discarded'",
}


class NoSuchEffect(Exception):
    problem = Problem(404, "no-such-effect", "No such effect")


class EffectNotResolvable(Exception):
    """Redrive needs a given-up effect. Discard needs a given-up effect, or a pending effect that is not in flight."""

    problem = Problem(409, "effect-not-resolvable", "The state of this effect does not allow that")


class StoredResolution(BaseModel):
    action: Action
    by: str
    reason: str
    at: datetime


class StoredEffect(BaseModel):
    """An effect without its payload. `described` is the result of its performer's `describe`."""

    id: UUID
    kind: str
    target: str
    key: str | None
    state: State
    attempts: int
    in_flight: bool
    created_at: datetime
    due_at: datetime = Field(description="The next attempt; while in flight, the end of the lease")
    finished_at: datetime | None
    reason: str | None = Field(description="Why the last attempt failed")
    result: dict[str, Any] | None
    described: dict[str, Any] | None
    resolutions: list[StoredResolution]


class EffectResolution(BaseModel):
    """The result, also of a dry run."""

    id: UUID
    kind: str
    target: str
    state: State
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ResolveEffect:
    id: UUID
    action: Action
    by: Actor
    reason: str


async def resolve(unit: Unit, command: ResolveEffect, *, dry_run: bool) -> EffectResolution:
    """Redrive or discard an effect and store by whom, when and why.

    A redriven effect starts again: attempts and age count from zero, and it is the last effect of its key.
    Raise NoSuchEffect, EffectNotResolvable.
    """
    row = await unit.sql.fetchrow(f"SELECT {COLUMNS} FROM effect WHERE id = $1 FOR UPDATE", command.id)
    if row is None:
        raise NoSuchEffect(str(command.id))
    if command.action == "redrive" and row["state"] != "given_up":
        raise EffectNotResolvable(f"it is {row['state']}; only an effect that is given up can be redriven")
    if command.action == "discard" and (row["state"] not in ("pending", "given_up") or row["in_flight"]):
        found = "in flight, ask again later" if row["in_flight"] else row["state"]
        raise EffectNotResolvable(f"it is {found}; only a pending or given-up effect can be discarded")
    if command.action == "redrive":
        await unit.sql.execute(
            """
            UPDATE effect
            SET state = 'pending', attempts = 0, due_at = now(), pending_since = now(), finished_at = NULL,
                position = DEFAULT
            WHERE id = $1
            """,
            command.id,
        )
    else:
        await unit.sql.execute(
            "UPDATE effect SET state = 'discarded', finished_at = now(), claimed_by = NULL WHERE id = $1", command.id
        )
    state: State = "pending" if command.action == "redrive" else "discarded"
    await record_action(
        unit,
        command.by,
        f"effect:{command.action}",
        f"{PATH}{command.id}",
        why=command.reason,
        before={name: row[name] for name in ("state", "attempts", "reason")},
        after={"state": state},
    )
    return EffectResolution(id=command.id, kind=row["kind"], target=row["target"], state=state, dry_run=dry_run)


async def find(
    database: Database,
    performers: Sequence[Performer],
    *,
    state: State | None = None,
    kind: str | None = None,
    target: str | None = None,
    after: UUID | None = None,
    limit: int = 200,
    id: UUID | None = None,
) -> list[StoredEffect]:
    """Return effects in the order of their ids, which is roughly the order of their requests."""
    conditions, arguments = [IN_STATE[state]], list[object]()
    for condition, value in (("kind =", kind), ("target =", target), ("id >", after), ("id =", id)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    async with database.unit() as unit:
        found = await unit.sql.fetch(
            f"SELECT {COLUMNS} FROM effect WHERE {' AND '.join(conditions)} ORDER BY id LIMIT {limit:d}", *arguments
        )
        targets = [f"{PATH}{row['id']}" for row in found]
        acted = await find_actions(unit.sql, targets=targets, limit=RESOLUTIONS) if targets else []
    resolutions: dict[str, list[StoredResolution]] = defaultdict(list)
    for each in reversed(acted):
        done = {"action": each.action.removeprefix("effect:"), "by": each.who, "reason": each.why, "at": each.at}
        resolutions[each.target].append(StoredResolution.model_validate(done))
    by_kind = {performer.kind: performer for performer in performers}
    return [_stored(row, by_kind.get(row["kind"]), resolutions[f"{PATH}{row['id']}"]) for row in found]


def _stored(row: asyncpg.Record, performer: Performer | None, resolutions: list[StoredResolution]) -> StoredEffect:
    return StoredEffect(
        id=row["id"],
        kind=row["kind"],
        target=row["target"],
        key=row["key"],
        state=row["state"],
        attempts=row["attempts"],
        in_flight=row["in_flight"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        finished_at=row["finished_at"],
        reason=row["reason"],
        result=None if row["result"] is None else json.loads(row["result"]),
        described=_described(row["payload"], performer),
        resolutions=resolutions,
    )


def _described(payload: str, performer: Performer | None) -> dict[str, Any] | None:
    """Return the result of `describe`, or None if it fails: an older payload must not hide the effect itself."""
    if performer is None or performer.describe is None:
        return None
    try:
        return dict(performer.describe(from_json(payload)))
    except Exception as error:
        log.warning("effects %s: describe raised %s", performer.kind, type(error).__name__)
        return None
