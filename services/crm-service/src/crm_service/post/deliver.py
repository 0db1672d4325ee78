"""Deliver mails to an SMTP server. It accepts a mail at its final dot; a failure before that is retried."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiosmtplib

from crm_service.post.compose import KIND
from crossdock_chassis import Effect, Performer, Permanent, perform

DEADLINE_SECONDS = 30.0
REFUSED = 500
"""Answers from here on are final (RFC 5321, 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Smtp:
    host: str
    port: int

    async def deliver(self, effect: Effect) -> Mapping[str, object]:
        """Send the mail. A repeated attempt has the same Message-ID. Raise Permanent if the server refuses the mail."""
        payload = effect.payload
        server = aiosmtplib.SMTP(hostname=self.host, port=self.port, timeout=DEADLINE_SECONDS / 2, start_tls=None)
        try:
            async with server:
                _, answer = await server.sendmail(payload["sender"], [payload["to"]], base64.b64decode(payload["raw"]))
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = min((each.code for each in error.recipients), default=0)
            raise _outcome(code, "the recipient was refused") from None
        except aiosmtplib.SMTPResponseException as error:
            raise _outcome(error.code, "the mail was refused") from None
        return {"mail_id": payload["mail_id"], "answer": answer[:100]}


def _outcome(code: int, what: str) -> Exception:
    """Return the error of an answer. Its text could have the address, so only its code is kept."""
    reason = f"{what} with {code}"
    return Permanent(reason) if code >= REFUSED else RuntimeError(reason)


def performer(smtp: Smtp) -> Performer:
    return perform(KIND, smtp.deliver, deadline=DEADLINE_SECONDS, describe=_described)


def _described(payload: Mapping[str, Any]) -> Mapping[str, object]:
    return {"mail_id": payload["mail_id"]}
