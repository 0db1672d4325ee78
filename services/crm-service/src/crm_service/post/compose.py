"""Write a mail for a customer, and request that it is sent."""

import base64
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from uuid import UUID

from crm_service.post.address import Addresses
from crossdock_chassis import Unit, new_id

KIND: Final = "mail"
TARGET: Final = "smtp"

LAST: Final = """
    SELECT sender, message_id, "references" FROM mails WHERE case_id = $1 AND direction = 'in' AND state = 'filed'
    ORDER BY at DESC, id DESC LIMIT 1
"""
ADDRESS: Final = "SELECT address FROM channels WHERE customer_id = $1 ORDER BY added_at DESC, match LIMIT 1"
CASE: Final = "SELECT number, subject FROM cases WHERE id = $1"
INSERT: Final = """
    INSERT INTO mails (id, direction, state, message_id, "references", sender, recipient, case_id, raw, at)
    VALUES ($1, 'out', 'requested', $2, $3, $4, $5, $6, $7, $8)
"""


@dataclass(frozen=True, slots=True)
class Post:
    """What mails out need. Without an SMTP server no mail is written."""

    addresses: Addresses
    sends: bool

    async def answer(self, unit: Unit, case_id: UUID, customer_id: UUID, text: str) -> UUID | None:
        """Write the answer of a locked case to the sender of its last mail, or else to the customer's newest address.

        Return the id of the mail, from which its Message-ID is made. Return None if there is no address.
        """
        if not self.sends:
            return None
        last = await unit.sql.fetchrow(LAST, case_id)
        to = last["sender"] if last else await unit.sql.fetchval(ADDRESS, customer_id)
        if to is None:
            return None
        case, id = await unit.sql.fetchrow(CASE, case_id), new_id()
        message_id = f"<{id}@{self.addresses.domain}>"
        references = [*last["references"], last["message_id"]][-20:] if last and last["message_id"] else []
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"] = self.addresses.desk, to
        mail["Reply-To"] = self.addresses.of_case(case["number"])
        mail["Subject"] = f"Re: {case['subject']} [#{case['number']}]"
        mail["Message-ID"], mail["Date"] = message_id, format_datetime(unit.now)
        if references:
            mail["In-Reply-To"], mail["References"] = references[-1], " ".join(references)
        mail.set_content(text)
        raw = mail.as_bytes()
        await unit.sql.execute(INSERT, id, message_id, references, self.addresses.desk, to, case_id, raw, unit.now)
        payload = {"mail_id": id, "sender": self.addresses.desk, "to": to, "raw": base64.b64encode(raw).decode()}
        unit.effect(KIND, target=TARGET, key=str(case_id), payload=payload)
        return id
