"""What operators did: one row for each action, written in the unit that acts. `GET /v1/operator-actions` shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Unit

RECORD: Final = """
    INSERT INTO operator_action (who, client, partner, action, target, why, before, after)
    VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8::json)
"""

COLUMNS: Final = "id, at, who, client, partner, action, target, why, before::text, after::text"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the subject of an operator's token or the client of a partner's, and the client of either."""

    who: str
    client: str = ""
    partner: str | None = None


class OperatorAction(BaseModel):
    """One action: who did what, and why. `before` and `after` have the parts of the target that it concerns."""

    id: int
    at: datetime
    who: Annotated[str, Field(description="The subject of the operator's token, or the client of a partner's")]
    client: Annotated[str, Field(description="The application that the token was issued to")]
    partner: Annotated[str | None, Field(description="The partner of the token; null for an operator")]
    action: Annotated[str, Field(examples=["dead-letter:redrive"])]
    target: Annotated[str, Field(description="The path of the resource", examples=["/v1/dead-letters/17"])]
    why: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


async def record_action(
    unit: Unit,
    by: Actor,
    action: str,
    target: str,
    *,
    why: str | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Write the action into the unit that carries it out, so that both commit or neither.

    `target` is the path of the resource. Write none for an action that changes nothing.
    """
    said = None if why is None else storable(why)
    documents = [None if each is None else to_json(each).decode() for each in (before, after)]
    await unit.sql.execute(RECORD, by.who, by.client, by.partner, action, target, said, *documents)


async def find_actions(
    sql: asyncpg.Connection,
    *,
    who: str | None = None,
    actions: Sequence[str] = (),
    targets: Sequence[str] = (),
    before: int | None = None,
    id: int | None = None,
    limit: int = 200,
) -> list[OperatorAction]:
    """Return actions, the newest first. An index serves each filter."""
    conditions, arguments = ["true"], list[object]()
    for condition, value in (
        ("who = {}", who),
        ("action = ANY ({}::text[])", [*actions] or None),
        ("target = ANY ({}::text[])", [*targets] or None),
        ("id < {}", before),
        ("id = {}", id),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(condition.format(f"${len(arguments)}"))
    rows = await sql.fetch(
        f"SELECT {COLUMNS} FROM operator_action WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT {limit:d}",
        *arguments,
    )
    return [OperatorAction(**{**row, "before": _read(row["before"]), "after": _read(row["after"])}) for row in rows]


def _read(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    document: dict[str, Any] = from_json(text)
    return document
