"""What staff see of mails."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("mails", UUID)
State = Literal["stored", "filed", "machine", "unreadable", "requested"]

PAGE: Final = """
    SELECT id, direction, state, reason, sender, recipient, case_id, at, octet_length(raw) AS size FROM mails
    WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR case_id = $3)
    ORDER BY id DESC LIMIT $4
"""


class NoSuchMail(Exception):
    pass


class MailView(BaseModel):
    """A mail. `stored` is still to be read, `machine` was written by none, and `unreadable` needs a person."""

    id: UUID
    direction: Literal["in", "out"]
    state: State
    reason: Annotated[str | None, Field(description="Why it is a machine's, or cannot be read")]
    sender: str | None
    recipient: str
    case_id: UUID | None
    at: datetime
    size: Annotated[int, Field(description="In bytes")]


async def page(
    sql: asyncpg.Connection, cursor: str | None, limit: int, *, state: State | None, case_id: UUID | None
) -> Page[MailView]:
    """Return mails, the newest first."""
    rows = await sql.fetch(PAGE, CURSOR.decode(cursor), state, case_id, limit + 1)
    shown = rows[:limit]
    items = [MailView(**dict(row)) for row in shown]
    return Page(items=items, next=CURSOR.encode(shown[-1]["id"]) if len(rows) > limit else None)


async def original(sql: asyncpg.Connection, id: UUID) -> bytes:
    """Return a mail as it came or went. Raise NoSuchMail."""
    raw: bytes | None = await sql.fetchval("SELECT raw FROM mails WHERE id = $1", id)
    if raw is None:
        raise NoSuchMail(f"No mail has the id {id}")
    return raw
