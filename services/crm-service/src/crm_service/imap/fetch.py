"""Store the new mails of an IMAP mailbox, each once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm_service.imap.mailbox import Mailbox, Position
from crm_service.mail.receive import ReceiveMail, receive_mails, set_aside
from crossdock_chassis import JobRun, Unit

FIND: Final = "SELECT validity, uid FROM imap_positions WHERE mailbox = $1"
KEEP: Final = """
    INSERT INTO imap_positions (mailbox, validity, uid, at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (mailbox) DO UPDATE SET validity = excluded.validity, uid = excluded.uid, at = excluded.at
"""


@dataclass(frozen=True, slots=True)
class Fetching:
    """`recipient` is the address of the desk. The header may name another one of its addresses."""

    mailbox: Mailbox
    recipient: str

    async def fetch_mails(self, run: JobRun) -> Mapping[str, object]:
        """Store what is new. Mails and position are in one unit, so a crash neither loses nor repeats a mail."""
        stored = 0
        while True:
            async with run.unit() as unit:
                after = await self._position(unit)
            batch = await asyncio.to_thread(self.mailbox.fetch, after)
            if not batch.mails:
                return {"stored": stored}
            async with run.unit() as unit:
                for each in batch.mails:
                    command = ReceiveMail(each.raw, self.recipient)
                    if each.cut:
                        reason = f"it has more than {self.mailbox.largest} bytes, and is still in the mailbox"
                        stored += await set_aside(unit, command, reason)
                    else:
                        (received,) = await receive_mails(unit, [command])
                        stored += received.new
                position = Position(batch.validity, batch.mails[-1].uid)
                await unit.sql.execute(KEEP, self.mailbox.name, *position, unit.now)

    async def _position(self, unit: Unit) -> Position | None:
        row = await unit.sql.fetchrow(FIND, self.mailbox.name)
        return None if row is None else Position(row["validity"], row["uid"])
