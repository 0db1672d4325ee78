"""Read and write attachments: a row, and chunks of 256 KiB."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from crm_service.attachments.model import CHUNK, safe_name, safe_type
from crm_service.cases.model import NoSuchCase
from crossdock_chassis import Database, Unit, new_id

BEGIN: Final = """
    INSERT INTO attachments (id, case_id, mail_id, name, media_type, internal, side, who, begun_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
ADD: Final = """
    INSERT INTO attachment_chunks (attachment_id, number, content)
    SELECT id, $2, $3 FROM attachments WHERE id = $1 AND stored_at IS NULL
"""
END: Final = """
    UPDATE attachments SET size = $2, sha256 = $3, stored_at = $4 WHERE id = $1 AND stored_at IS NULL RETURNING true
"""
DROP: Final = """
    WITH gone AS (DELETE FROM attachments WHERE id = ANY ($1::uuid[]) AND stored_at IS NULL RETURNING id)
    DELETE FROM attachment_chunks USING gone WHERE attachment_id = gone.id
"""
STALE: Final = """
    SELECT id FROM attachments WHERE stored_at IS NULL AND begun_at < $1::timestamptz - interval '1 hour'
    ORDER BY begun_at LIMIT 100
"""
COUNT: Final = """
    SELECT (SELECT count(*) FROM attachments WHERE case_id = cases.id) FROM cases
    WHERE id = $1 AND ($2::text IS NULL OR partner = $2)
"""
CHUNKS: Final = "SELECT content FROM attachment_chunks WHERE attachment_id = $1 AND number = $2"


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """`name` and `media_type` are as they were sent. `internal` hides it from partners."""

    case_id: UUID
    name: str
    media_type: str
    side: str
    who: str | None = None
    internal: bool = False
    mail_id: UUID | None = None


async def begin(unit: Unit, id: UUID, new: NewAttachment) -> None:
    name, media_type = safe_name(new.name), safe_type(new.media_type)
    values = (id, new.case_id, new.mail_id, name, media_type, new.internal, new.side, new.who, unit.now)
    await unit.sql.execute(BEGIN, *values)


async def end(unit: Unit, id: UUID, size: int, sha256: bytes) -> bool:
    """Show an attachment whose chunks are all stored. Return False if it was swept meanwhile."""
    return bool(await unit.sql.fetchval(END, id, size, sha256, unit.now))


async def keep(unit: Unit, new: NewAttachment, content: bytes) -> None:
    """Store a whole attachment."""
    id = new_id()
    await begin(unit, id, new)
    for number, place in enumerate(range(0, len(content), CHUNK)):
        await unit.sql.execute(ADD, id, number, content[place : place + CHUNK])
    await end(unit, id, len(content), hashlib.sha256(content).digest())


async def receive(database: Database, id: UUID, body: AsyncIterator[bytes]) -> tuple[int, bytes]:
    """Store the chunks of an upload, each in a unit of its own. Return size and SHA-256."""
    digest, size, number, buffer = hashlib.sha256(), 0, 0, bytearray()
    async for received in body:
        digest.update(received)
        size += len(received)
        buffer += received
        while len(buffer) >= CHUNK:
            await _add(database, id, number, bytes(buffer[:CHUNK]))
            del buffer[:CHUNK]
            number += 1
    if buffer:
        await _add(database, id, number, bytes(buffer))
    return size, digest.digest()


async def _add(database: Database, id: UUID, number: int, content: bytes) -> None:
    async with database.unit() as unit:
        await unit.sql.execute(ADD, id, number, content)


async def drop(database: Database, id: UUID) -> None:
    """Delete an upload that was not finished."""
    async with database.unit() as unit:
        await unit.sql.execute(DROP, [id])


async def sweep(unit: Unit) -> dict[str, object]:
    """Delete uploads that broke off an hour ago, because their process died."""
    stale = [row["id"] for row in await unit.sql.fetch(STALE, unit.now)]
    await unit.sql.execute(DROP, stale)
    return {"dropped": len(stale)}


async def chunks(database: Database, id: UUID, size: int) -> AsyncIterator[bytes]:
    """Yield the content of an attachment. Each chunk is read in a unit of its own: a slow client holds none."""
    for number in range((size + CHUNK - 1) // CHUNK):
        async with database.unit() as unit:
            content: bytes = await unit.sql.fetchval(CHUNKS, id, number)
        yield content


async def count(unit: Unit, case_id: UUID, partner: str | None) -> int:
    """Return how many attachments a case of the partner has, or any without one. Raise NoSuchCase."""
    found: int | None = await unit.sql.fetchval(COUNT, case_id, partner)
    if found is None:
        raise NoSuchCase(f"None of your cases has the id {case_id}")
    return found
