"""A service desk for tests: the service, a real SMTP server, and the job that files mails."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx
from aiosmtpd.smtp import SMTP

from crm_service.mail.filing import Filing
from crm_service.post.compose import Post
from crm_service.service import Settings
from crossdock_chassis import JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed

DESK = "support@crm.test"


class Server:
    """A real SMTP server on loopback. `refuse` is the answer to the next recipient, `answer` to the next mail.

    `taking` is awaited once a mail is taken, before the answer. `on_mail` is awaited with each mail and its sender.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.senders: list[str] = []
        self.refuse: str | None = None
        self.answer: str | None = None
        self.taking: Callable[[], Awaitable[None]] | None = None
        self.on_mail: Callable[[EmailMessage], Awaitable[None]] | None = None
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse is not None:
            answer, self.refuse = self.refuse, None
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer is not None:
            answer, self.answer = self.answer, None
            return answer
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        self.senders.append(envelope.mail_from)
        if self.taking is not None:
            await self.taking()
        if self.on_mail is not None:
            await self.on_mail(found)
        return "250 OK"

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        made = await loop.create_server(lambda: SMTP(self, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0)
        self.port = made.sockets[0].getsockname()[1]
        return made

    def of(self, prefix: str) -> list[EmailMessage]:
        """Return the mails whose subject begins so."""
        return [each for each in self.mails if str(each["Subject"]).startswith(prefix)]


class Desk:
    """The service, a mail server, and the job that files mails."""

    def __init__(self, service: Service, server: Server, staff: httpx.AsyncClient) -> None:
        self.service, self.server, self.staff = service, server, staff
        assert isinstance(service.settings, Settings)
        self.settings = service.settings
        self.post = Post(self.settings.addresses, sends=True)
        self.filing = Filing(self.post, reopens=timedelta(days=14))

    async def receives(self, raw: bytes, to: str = DESK, status: int = 201) -> dict[str, Any]:
        """Hand a mail over, let it be filed, and return it as staff see it."""
        headers = {"content-type": "message/rfc822"}
        answer = await self.staff.post("/v1/mail", params={"recipient": to}, content=raw, headers=headers)
        assert answer.status_code == status, answer.text
        await self.filing.file_mails(JobRun(self.service.database, Claimed(new_id(), None, "test", {})))
        found: dict[str, Any] = (await self.staff.get(f"/v1/mail/{answer.json()['mail_id']}")).json()
        return found

    async def case(self, id: str) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.staff.get(f"/v1/cases/{id}")).json()
        return shown

    async def verb(self, id: str, verb: str, **body: Any) -> dict[str, Any]:
        answer = await self.staff.post(f"/v1/cases/{id}:{verb}", json=body or None)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()
        return done

    async def out(self, state: str) -> list[tuple[str, str | None]]:
        """Return kind and reason of the mails out in a state, the newest first."""
        items = (await self.staff.get("/v1/mail", params={"state": state, "limit": 200})).json()["items"]
        return [(each["kind"], each["reason"]) for each in items]


def mail(text: str = "My order has not come.", sender: str = "ada@example.com", **headers: str) -> bytes:
    one = EmailMessage()
    given = {"From": sender, "Subject": "Order", "Message-ID": f"<{new_id()}@example.com>"}
    for name, value in (given | {key.replace("_", "-"): value for key, value in headers.items()}).items():
        one[name] = value
    one.set_content(text)
    return one.as_bytes()
