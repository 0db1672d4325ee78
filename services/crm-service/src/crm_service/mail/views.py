"""What staff see of mails."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.customers.personal import Eyes
from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("mails", UUID)
State = Literal[
    "stored",
    "filed",
    "duplicate",
    "machine",
    "unreadable",
    "requested",
    "suppressed",
    "sent",
    "refused",
    "bounced",
    "unknown",
]

PAGE: Final = """
    SELECT id, direction, state, reason, kind, sender, recipient, case_id, at, octet_length(raw) AS size FROM mails
    WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR case_id = $3)
    ORDER BY id DESC LIMIT $4
"""


ONE: Final = """
    SELECT id, direction, state, reason, kind, sender, recipient, case_id, at, octet_length(raw) AS size, html
    FROM mails WHERE id = $1
"""
COUNTS: Final = """
    SELECT state, reason, count(*) AS mails FROM mails WHERE direction = 'out' GROUP BY state, reason
    ORDER BY state, mails DESC, reason
"""


class NoSuchMail(Exception):
    pass


class MailView(BaseModel):
    """A mail.

    A mail in is `stored` until it is read. `machine` was written by nobody, `duplicate` came before,
    and `unreadable` needs a person. A mail out
    is `requested` until the server has it. `suppressed` is never sent, `refused` and `bounced` did not arrive, and
    whether `unknown` did is not known.
    """

    id: UUID
    direction: Literal["in", "out"]
    state: State
    reason: Annotated[str | None, Field(description="Why it is a machine's, cannot be read, or does not arrive")]
    kind: Annotated[Literal["answer", "acknowledgement", "notice"] | None, Field(description="Of a mail out")]
    sender: str | None
    recipient: str
    case_id: UUID | None
    at: datetime
    size: Annotated[int, Field(description="In bytes")]


class Count(BaseModel):
    state: State
    reason: str | None
    mails: int


class MailSummary(BaseModel):
    """Mails out by state, and by reason if there is one."""

    out: list[Count]


async def summary(sql: asyncpg.Connection) -> MailSummary:
    return MailSummary(out=[Count(**dict(row)) for row in await sql.fetch(COUNTS)])


class MailText(MailView):
    """A mail in with its HTML, which is cleaned: it runs nothing and loads nothing."""

    html: str | None


def _people(row: asyncpg.Record, eyes: Eyes) -> dict[str, Any]:
    """Return the row with the customer's address as the reader sees it. The desk's own address is no secret."""
    name = "sender" if row["direction"] == "in" else "recipient"
    return {**row, name: None if row[name] is None else eyes.email(row[name])}


async def get(sql: asyncpg.Connection, id: UUID, eyes: Eyes) -> MailText:
    """Return a mail. Raise NoSuchMail."""
    row = await sql.fetchrow(ONE, id)
    if row is None:
        raise NoSuchMail(f"No mail has the id {id}")
    return MailText(**_people(row, eyes))


async def page(
    sql: asyncpg.Connection, cursor: str | None, limit: int, eyes: Eyes, *, state: State | None, case_id: UUID | None
) -> Page[MailView]:
    """Return mails, the newest first."""
    rows = await sql.fetch(PAGE, CURSOR.decode(cursor), state, case_id, limit + 1)
    shown = rows[:limit]
    items = [MailView(**_people(row, eyes)) for row in shown]
    return Page(items=items, next=CURSOR.encode(shown[-1]["id"]) if len(rows) > limit else None)


async def original(sql: asyncpg.Connection, id: UUID) -> bytes:
    """Return a mail as it came or went. Raise NoSuchMail."""
    raw: bytes | None = await sql.fetchval("SELECT raw FROM mails WHERE id = $1", id)
    if raw is None:
        raise NoSuchMail(f"No mail has the id {id}")
    return raw
