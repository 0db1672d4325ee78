"""Deliver mails to an SMTP server. It takes a mail over at the final dot; before that nothing has happened.

A failure before the dot is retried. After it, the outcome is unknown until the server answers. An answer to a case is
then sent again under its Message-ID, and a mail that must not repeat is not sent again. `handed_at` is set just
before the dot, so that a killed process leaves the same trace.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import aiosmtplib
from aiosmtplib.protocol import PERIOD_REGEX, SMTPProtocol, normalize_message_line_endings

from crm_service.post.address import Addresses
from crm_service.post.compose import ACKNOWLEDGEMENT, KIND, ONCE
from crm_service.post.suppress import suppressed, undeliverable
from crossdock_chassis import Database, Effect, Performer, Permanent, Unit, perform

DEADLINE_SECONDS = 60.0
REFUSED = 500
"""Answers from here on are final (RFC 5321, 4.2.1)."""
TIMELY: Final = timedelta(days=1)
"""An acknowledgement or a notice of an older time would only confuse."""
START_INPUT: Final = 354
ENHANCED: Final = re.compile(r"^[245]\.\d{1,3}\.\d{1,3}\b")
NO_MAILBOX: Final = re.compile(r"5\.1\.[0-36]|5\.2\.1")
"""The address is at fault (RFC 3463): no such mailbox, domain or syntax, moved away, or disabled."""

MAIL: Final = "SELECT kind, state, recipient, raw, handed_at FROM mails WHERE id = $1 AND direction = 'out' FOR UPDATE"
HAND: Final = "UPDATE mails SET handed_at = $2 WHERE id = $1"
SETTLE: Final = "UPDATE mails SET state = $2, reason = $3 WHERE id = $1"
NOT_HANDED: Final = "UPDATE mails SET reason = NULL, handed_at = NULL WHERE id = $1"


class Refused(Exception):
    """The server has answered that it does not take the mail. Its text could have the address, so it is not kept."""

    def __init__(self, code: int, message: str) -> None:
        found = ENHANCED.match(message)
        self.code, self.status = code, found[0] if found else None
        super().__init__(f"refused with {code} {self.status or ''}".rstrip())

    @property
    def is_final(self) -> bool:
        return self.code >= REFUSED


class BeforeTheDot(Exception):
    """The mail was not handed over, because of the connection. It can be sent again."""


@dataclass(frozen=True, slots=True)
class Smtp:
    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: bool = False
    seconds: float = 15.0

    async def send(self, sender: str, to: str, mail: bytes, handing: Callable[[], Awaitable[None]]) -> str:
        """Send a mail and return the server's answer. `handing` is awaited just before the final dot.

        Raise Refused, or BeforeTheDot. After the dot raise the error of the connection: the outcome is unknown.
        """
        server = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            use_tls=self.tls,
            start_tls=None if not self.tls else False,
            timeout=self.seconds,
        )
        try:
            protocol = await self._until_the_dot(server, sender, to, mail)
            await handing()
            try:
                protocol.write(b".\r\n")
            except aiosmtplib.SMTPServerDisconnected as error:
                raise BeforeTheDot(type(error).__name__) from None
            code, message = await protocol.read_response(timeout=self.seconds)
            if code != aiosmtplib.SMTPStatus.completed:
                raise Refused(code, message)
            return message
        finally:
            server.close()

    async def _until_the_dot(self, server: aiosmtplib.SMTP, sender: str, to: str, mail: bytes) -> SMTPProtocol:
        """Do all but the dot. A refused connection or password is a fault of ours or of the server, not of the mail."""
        try:
            await server.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise BeforeTheDot(type(error).__name__) from None
        options, encoding = ([], "ascii") if to.isascii() else (["SMTPUTF8", "BODY=8BITMIME"], "utf-8")
        try:
            await server.mail(sender, options=options, encoding=encoding)
            await server.rcpt(to, encoding=encoding)
            code, message = await server.execute_command(b"DATA")
            if code != START_INPUT:
                raise Refused(code, message)
            assert server.protocol is not None
            server.protocol.write(PERIOD_REGEX.sub(b"..", normalize_message_line_endings(mail)))
            return server.protocol
        except aiosmtplib.SMTPResponseException as error:
            raise Refused(error.code, error.message) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise BeforeTheDot(type(error).__name__) from None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Delivers mails. `undelivered` notes with a mail that it was refused, and why."""

    database: Database
    smtp: Smtp
    addresses: Addresses
    undelivered: Callable[[Unit, UUID, str], Awaitable[None]]

    async def deliver(self, effect: Effect) -> Mapping[str, object]:
        """Send the mail of an effect, and store the outcome with the mail.

        Raise Permanent if the server refuses it for good, or if it must not repeat and could have been taken before.
        """
        id = UUID(effect.payload["mail_id"])
        async with self.database.unit() as unit:
            mail = await unit.sql.fetchrow(MAIL, id)
            if mail is None:
                raise Permanent("the mail is gone")
            kind, to = mail["kind"], mail["recipient"]
            if mail["state"] == "sent":
                return {"mail_id": str(id), "sent": "before"}
            if kind in ONCE and mail["handed_at"] is not None:
                await unit.sql.execute(SETTLE, id, "unknown", "the server may have taken it")
            elif reason := await self._reason_against(unit, effect, kind, to):
                await unit.sql.execute(SETTLE, id, "suppressed", reason)
                return {"mail_id": str(id), "suppressed": reason}
        if kind in ONCE and mail["handed_at"] is not None:
            raise Permanent("whether the server took it is unknown, and it must not be sent twice")
        # A report about an acknowledgement would be answered to nobody: a null return path ends each loop (RFC 3834).
        sender = "" if kind == ACKNOWLEDGEMENT else self.addresses.bounce_of(id)

        async def handing() -> None:
            async with self.database.unit() as unit:
                await unit.sql.execute(HAND, id, unit.now)

        try:
            await self.smtp.send(sender, to, mail["raw"], handing)
        except Refused as refused:
            await self._refused(id, to, refused)
            if refused.is_final:
                raise Permanent(str(refused)) from None
            raise
        except BeforeTheDot:
            await self._settle(id, NOT_HANDED)
            raise
        await self._settle(id, SETTLE, "sent", None)
        return {"mail_id": str(id)}  # the server's answer may have the address

    async def _reason_against(self, unit: Unit, effect: Effect, kind: str, to: str) -> str | None:
        """Return why the mail must not go out any more, or None."""
        if kind in ONCE and unit.now - effect.created_at > TIMELY:
            return "too late"
        return (await suppressed(unit.sql, self.addresses, [to], kind)).get(to)

    async def _refused(self, id: UUID, to: str, refused: Refused) -> None:
        """Store that the server did not take the mail, so that another attempt repeats nothing."""
        if not refused.is_final:
            await self._settle(id, NOT_HANDED)
            return
        async with self.database.unit() as unit:
            await self.undelivered(unit, id, str(refused))
            await unit.sql.execute(NOT_HANDED, id)
            await unit.sql.execute(SETTLE, id, "refused", str(refused))
            if refused.status is not None and NO_MAILBOX.fullmatch(refused.status):
                await undeliverable(unit, self.addresses, to, refused.status)

    async def _settle(self, id: UUID, statement: str, *values: str | None) -> None:
        async with self.database.unit() as unit:
            await unit.sql.execute(statement, id, *values)


def performer(delivery: Delivery) -> Performer:
    return perform(KIND, delivery.deliver, deadline=DEADLINE_SECONDS, describe=_described)


def _described(payload: Mapping[str, Any]) -> Mapping[str, object]:
    return {"mail_id": payload["mail_id"]}
