"""Store a mail before anything else is done with it, once however often it is handed over."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from crossdock_chassis import Unit, new_id, wake

WAKES: Final = "mail"
MAX_BYTES: Final = 36 << 20
"""Of a mail: an attachment of 25 MB grows by a third in base64."""
LARGE: Final = 1 << 20
INSERT: Final = """
    INSERT INTO mails (id, direction, state, digest, recipient, raw, at) VALUES ($1, 'in', 'stored', $2, $3, $4, $5)
    ON CONFLICT (digest) DO NOTHING RETURNING id
"""


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


async def receive_mail(unit: Unit, command: ReceiveMail) -> Received:
    digest = await _digest(command)
    id: UUID | None = await unit.sql.fetchval(INSERT, new_id(), digest, command.recipient, command.raw, unit.now)
    if id is not None:
        await wake(unit, WAKES)
        return Received(mail_id=id, new=True)
    return Received(mail_id=await unit.sql.fetchval("SELECT id FROM mails WHERE digest = $1", digest), new=False)
