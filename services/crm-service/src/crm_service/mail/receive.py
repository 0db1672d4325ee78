"""Store a mail before anything else is done with it, once however often it is handed over."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from crossdock_chassis import Unit, columns, new_id, wake

WAKES: Final = "mail"
MAX_BYTES: Final = 36 << 20
"""Of a mail: an attachment of 25 MB grows by a third in base64."""
LARGE: Final = 1 << 20
INSERT: Final = """
    INSERT INTO mails (id, direction, state, digest, recipient, raw, at)
    SELECT id, 'in', 'stored', digest, recipient, raw, $5
    FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[]) AS new (id, digest, recipient, raw)
    ORDER BY digest ON CONFLICT (digest) DO NOTHING RETURNING id
"""
STORED: Final = "SELECT digest, id FROM mails WHERE digest = ANY ($1::bytea[])"


@dataclass(frozen=True, slots=True)
class ReceiveMail:
    """A mail, and the address of the desk that it was sent to."""

    raw: bytes
    recipient: str


class Received(BaseModel):
    mail_id: UUID
    new: bool


SET_ASIDE: Final = """
    INSERT INTO mails (id, direction, state, reason, digest, recipient, raw, at)
    VALUES ($1, 'in', 'unreadable', $2, $3, $4, $5, $6) ON CONFLICT (digest) DO NOTHING RETURNING true
"""


async def set_aside(unit: Unit, command: ReceiveMail, reason: str) -> bool:
    """Store a mail for a person, because it cannot be read. Return whether it is new."""
    digest = await _digest(command)
    return bool(await unit.sql.fetchval(SET_ASIDE, new_id(), reason, digest, command.recipient, command.raw, unit.now))


async def _digest(command: ReceiveMail) -> bytes:
    """Return the digest of recipient and mail. 36 MiB take 0.1 s, for which the event loop must not stand still."""
    content = command.recipient.lower().encode() + b"\0" + command.raw
    if len(content) < LARGE:
        return hashlib.sha256(content).digest()
    return (await asyncio.to_thread(hashlib.sha256, content)).digest()


async def receive_mails(unit: Unit, batch: Sequence[ReceiveMail]) -> list[Received]:
    rows = [(new_id(), await _digest(each), each.recipient, each.raw) for each in batch]
    added = {row["id"] for row in await unit.sql.fetch(INSERT, *columns(rows), unit.now)}
    before = [digest for id, digest, *_ in rows if id not in added]
    stored = dict(await unit.sql.fetch(STORED, before)) if before else {}
    if added:
        await wake(unit, WAKES)
    return [Received(mail_id=id if id in added else stored[digest], new=id in added) for id, digest, *_ in rows]
