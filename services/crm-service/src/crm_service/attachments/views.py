"""What clients see of attachments."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

FIELDS: Final = """
    attachments.id, name, media_type, size, encode(sha256, 'hex') AS sha256, internal, side, mail_id, stored_at
"""
SEEN: Final = "case_id = $1 AND stored_at IS NOT NULL AND ($2::text IS NULL OR (partner = $2 AND NOT internal))"
ALL: Final = f"""
    SELECT {FIELDS} FROM attachments JOIN cases ON cases.id = case_id WHERE {SEEN} ORDER BY attachments.id
"""
ONE: Final = f"SELECT {FIELDS} FROM attachments JOIN cases ON cases.id = case_id WHERE {SEEN} AND attachments.id = $3"


class NoSuchAttachment(Exception):
    pass


class AttachmentView(BaseModel):
    id: UUID
    name: Annotated[str, Field(description="Without folders and signs that are not shown")]
    media_type: Annotated[str, Field(description="As the sender states it")]
    size: Annotated[int, Field(description="In bytes")]
    sha256: str
    internal: Annotated[bool, Field(description="Partners do not see it")]
    side: Annotated[str, Field(description="customer, partner or staff")]
    mail_id: Annotated[UUID | None, Field(description="The mail that brought it")]
    stored_at: datetime


class AttachmentList(BaseModel):
    items: list[AttachmentView]


async def all_of(sql: asyncpg.Connection, case_id: UUID, partner: str | None) -> AttachmentList:
    return AttachmentList(items=[AttachmentView(**dict(row)) for row in await sql.fetch(ALL, case_id, partner)])


async def get(sql: asyncpg.Connection, case_id: UUID, partner: str | None, id: UUID) -> AttachmentView:
    """Return an attachment that the partner sees, or any without one. Raise NoSuchAttachment."""
    row = await sql.fetchrow(ONE, case_id, partner, id)
    if row is None:
        raise NoSuchAttachment(f"The case has no attachment {id}")
    return AttachmentView(**dict(row))
