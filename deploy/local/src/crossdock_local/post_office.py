"""A post office for one machine: `python -m crossdock_local.post_office`.

It is an SMTP server on loopback. It keeps each mail as a file, and hands mails for the service desk to crm-service.
Nothing leaves the machine.

CROSSDOCK_POST_HOME     folder of the mails, readable by its owner only
CROSSDOCK_POST_HOST     default 127.0.0.1; another address only in the private network of containers on one machine
CROSSDOCK_POST_PORT     default 8480
CROSSDOCK_POST_DOMAIN   the domain of the service desk
CROSSDOCK_POST_CRM      URL of crm-service
CROSSDOCK_ISSUER_HOME   folder of the issuer's key, which signs the token for crm-service
CROSSDOCK_ISSUER, CROSSDOCK_AUDIENCE
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from crossdock_local import issuer
from crossdock_local.layout import write
from crossdock_local.ports import HOST

MAX_BYTES: Final = 36 << 20
HAND_OVER_SECONDS: Final = 15.0
TOKEN_SECONDS: Final = 300
SCOPE: Final = "crm:staff"


@dataclass(frozen=True)  # no slots: aiosmtpd reads all members, and that of weak references fails in Python 3.11.2
class Office:
    """Takes mails. `folder` has one file for each mail and recipient: the mail, below a line with its envelope."""

    folder: Path
    domain: str
    crm: str
    key: Any
    issuer_url: str
    audience: str

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail, and hand it over. The sender keeps it and tries again if crm-service does not take it."""
        content = envelope.content
        assert isinstance(content, bytes)
        sender = (envelope.mail_from or "").replace("<>", "")  # aiosmtpd writes the null sender so
        for recipient in envelope.rcpt_tos:
            if recipient.lower().endswith(f"@{self.domain}"):
                # The last server adds the envelope sender (RFC 5321, 4.4). It is empty for reports and responders.
                refusal = await self._hand_over(recipient, b"Return-Path: <%s>\r\n" % sender.encode() + content)
                if refusal is not None:
                    return refusal
            self._keep(sender, recipient, content)
        return "250 OK"

    async def _hand_over(self, recipient: str, content: bytes) -> str | None:
        """Return None once crm-service has stored the mail, else the answer to the sender."""
        token = issuer.access_token(
            self.key, self.issuer_url, self.audience, "post-office", None, [SCOPE], lifetime=TOKEN_SECONDS
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
        try:
            async with httpx.AsyncClient(timeout=HAND_OVER_SECONDS) as client:
                answer = await client.post(
                    f"{self.crm}/v1/mail", params={"recipient": recipient}, content=content, headers=headers
                )
        except httpx.HTTPError:
            return "451 The service desk does not answer"
        if answer.is_success:
            return None
        return "451 The service desk is busy" if answer.status_code >= 500 else "554 The service desk refused the mail"

    def _keep(self, sender: str, recipient: str, content: bytes) -> None:
        at = datetime.now(UTC)
        envelope = {"at": at.isoformat(timespec="milliseconds"), "from": sender, "to": recipient}
        text = json.dumps(envelope) + "\n" + content.decode(errors="replace")
        write(self.folder / f"{at:%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}.eml", text)


def kept(folder: Path) -> list[tuple[dict[str, str], str]]:
    """Return the kept mails, the newest first: the envelope, and the mail as text."""
    found = []
    for file in sorted(folder.glob("*.eml"), reverse=True):
        head, _, mail = file.read_text(errors="replace").partition("\n")
        found.append((json.loads(head), mail))
    return found


async def serve(office: Office, host: str, port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)

    def session() -> SMTP:
        return SMTP(office, data_size_limit=MAX_BYTES, hostname="localhost", enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(session, host, port)
    print(json.dumps({"event": "listening", "service": "post-office", "port": port}), file=sys.stderr, flush=True)
    async with server:
        await stop.wait()


def main(environment: Mapping[str, str] = os.environ) -> None:
    folder = Path(environment["CROSSDOCK_POST_HOME"])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    office = Office(
        folder,
        environment["CROSSDOCK_POST_DOMAIN"],
        environment["CROSSDOCK_POST_CRM"],
        issuer.signing_key(Path(environment["CROSSDOCK_ISSUER_HOME"])),
        environment["CROSSDOCK_ISSUER"],
        environment.get("CROSSDOCK_AUDIENCE", "crossdock"),
    )
    host, port = environment.get("CROSSDOCK_POST_HOST", HOST), int(environment.get("CROSSDOCK_POST_PORT", "8480"))
    asyncio.run(serve(office, host, port))


if __name__ == "__main__":
    main()
