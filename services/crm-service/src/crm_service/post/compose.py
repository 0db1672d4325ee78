"""Write a mail for a customer, and request that it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from crm_service.post.address import Addresses
from crm_service.post.suppress import suppressed
from crm_service.templates import store as templates
from crm_service.templates.model import Rendered
from crossdock_chassis import Unit, columns, new_id

KIND: Final = "mail"
TARGET: Final = "smtp"
ANSWER: Final = "answer"
ACKNOWLEDGEMENT: Final = "acknowledgement"
NOTICE: Final = "notice"
ONCE: Final = frozenset({ACKNOWLEDGEMENT, NOTICE})
"""Kinds that are not sent again if it is unknown whether the server took them."""
UNSUBSCRIBE: Final = "unsubscribe"
ACKNOWLEDGED: Final = "acknowledged within a day"
DAY: Final = timedelta(days=1)

LAST: Final = """
    SELECT sender, message_id, "references" FROM mails WHERE case_id = $1 AND direction = 'in' AND state = 'filed'
    ORDER BY at DESC, id DESC LIMIT 1
"""
ADDRESS: Final = """
    SELECT address, (SELECT locale FROM customers WHERE id = $1) AS locale FROM channels
    WHERE kind = 'email'
          AND customer_id IN (SELECT id FROM customers WHERE root = (SELECT root FROM customers WHERE id = $1))
    ORDER BY undeliverable_at IS NULL DESC, added_at DESC, match LIMIT 1
"""
CASE: Final = "SELECT number, subject FROM cases WHERE id = $1"
TO_ACKNOWLEDGE: Final = """
    SELECT id, number, subject, EXISTS (
        SELECT FROM mails WHERE kind = 'acknowledgement' AND lower(recipient) = lower(asked.recipient) AND at > $3
                            AND state <> 'suppressed'
    ) AS recent
    FROM unnest($1::uuid[], $2::text[]) AS asked (id, recipient) JOIN cases USING (id)
"""
INSERT: Final = """
    INSERT INTO mails (id, direction, state, reason, kind, message_id, "references", sender, recipient, case_id, raw,
                       at)
    SELECT id, 'out', state, reason, kind, message_id, ARRAY(SELECT jsonb_array_elements_text(named)), $9, recipient,
           case_id, raw, $10
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::uuid[], $8::text[],
                $11::bytea[])
         AS new (id, state, reason, kind, message_id, named, case_id, recipient, raw)
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail before it is written. `references` are the mails that it answers, the last one directly."""

    kind: str
    to: str
    content: Rendered
    case_id: UUID | None = None
    number: int | None = None
    references: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    suppressed: str | None = None


class ToAcknowledge(NamedTuple):
    """A mail that opened a case. `text` decides the language."""

    case_id: UUID
    to: str
    message_id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Post:
    """What mails out need. Without an SMTP server no mail is written."""

    addresses: Addresses
    sends: bool
    public_url: str = "http://127.0.0.1:8460"

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
        case = await unit.sql.fetchrow(CASE, case_id)
        data = {"number": case["number"], "subject": case["subject"], "text": text}
        content = await templates.render(unit, "answer", locale_of(case["subject"] + text), data)
        references = [*last["references"], last["message_id"]][-20:] if last and last["message_id"] else []
        return await self._write(unit, Draft(ANSWER, to, content, case_id, case["number"], references))

    async def acknowledge(self, unit: Unit, asked: Sequence[ToAcknowledge]) -> None:
        """Acknowledge mails that opened cases, at most once per sender and day. They have different senders."""
        if not self.sends or not asked:
            return
        arguments = [each.case_id for each in asked], [each.to for each in asked], unit.now - DAY
        cases = {row["id"]: row for row in await unit.sql.fetch(TO_ACKNOWLEDGE, *arguments)}
        data = [
            (locale_of(case["subject"] + each.text), {"number": case["number"], "subject": case["subject"]})
            for each in asked
            for case in (cases[each.case_id],)
        ]
        headers = {"Auto-Submitted": "auto-replied", "X-Auto-Response-Suppress": "All"}
        drafts = []
        for each, content in zip(asked, await templates.render_all(unit, ACKNOWLEDGEMENT, data), strict=True):
            references = [each.message_id] if each.message_id else []
            case = cases[each.case_id]
            recent = ACKNOWLEDGED if case["recent"] else None
            drafts.append(
                Draft(ACKNOWLEDGEMENT, each.to, content, each.case_id, case["number"], references, headers, recent)
            )
        await self._write_all(unit, drafts)

    async def notice(
        self,
        unit: Unit,
        customer_id: UUID,
        template: str,
        data: Mapping[str, Any],
        *,
        locale: str | None = None,
        case_id: UUID | None = None,
    ) -> UUID | None:
        """Write a notice to the customer's newest address. It can be unsubscribed (RFC 8058), and is sent once at most.

        Without a locale it has the customer's. `data` has all that the template may name, see
        `templates.model.VARIABLES`. Return the id of the mail, also if it is suppressed. Return None if there is no
        address.
        """
        found = await unit.sql.fetchrow(ADDRESS, customer_id) if self.sends else None
        if found is None:
            return None
        to = found["address"]
        link = f"{self.public_url}/v1/unsubscribe/{self.addresses.link(UNSUBSCRIBE, to, unit.now)}"
        headers = {
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        number = None if case_id is None else await unit.sql.fetchval("SELECT number FROM cases WHERE id = $1", case_id)
        content = await templates.render(unit, template, locale or found["locale"] or "en", data)
        return await self._write(unit, Draft(NOTICE, to, content, case_id, number, (), headers))

    async def notice_of_case(self, unit: Unit, case_id: UUID, customer_id: UUID, text: str) -> UUID | None:
        """Write a notice about a case, with a text of our own. Its language is that of the text."""
        if not self.sends:
            return None
        case = await unit.sql.fetchrow(CASE, case_id)
        data = {"number": case["number"], "subject": case["subject"], "text": text}
        return await self.notice(unit, customer_id, "notice", data, locale=locale_of(text), case_id=case_id)

    async def _write(self, unit: Unit, draft: Draft) -> UUID:
        """Store the mail, and request that it is sent unless its address gets none."""
        (id,) = await self._write_all(unit, [draft])
        return id

    async def _write_all(self, unit: Unit, drafts: Sequence[Draft]) -> list[UUID]:
        """Store mails of one kind, and request that each is sent unless its address gets none."""
        kind = drafts[0].kind
        refused = await suppressed(unit.sql, self.addresses, {each.to for each in drafts}, kind)
        rows = []
        for draft in drafts:
            id = new_id()
            mail = self._mail(unit, id, draft)
            reason = draft.suppressed or refused.get(draft.to)
            state, named = "suppressed" if reason else "requested", to_json(draft.references).decode()
            rows.append((id, state, reason, kind, mail["Message-ID"], named, draft.case_id, draft.to, mail.as_bytes()))
            if reason is None:
                unit.effect(KIND, target=TARGET, key=str(draft.case_id or id), payload={"mail_id": id})
        *values, raw = columns(rows)
        await unit.sql.execute(INSERT, *values, self.addresses.desk, unit.now, raw)
        return values[0]

    def _mail(self, unit: Unit, id: UUID, draft: Draft) -> EmailMessage:
        mail = EmailMessage(policy=SMTP if draft.to.isascii() else SMTPUTF8)
        mail["From"], mail["To"], mail["Subject"] = self.addresses.desk, draft.to, draft.content.subject
        if draft.number is not None:
            mail["Reply-To"] = self.addresses.of_case(draft.number)
        mail["Message-ID"], mail["Date"] = f"<{id}@{self.addresses.domain}>", format_datetime(unit.now)
        if draft.references:
            mail["In-Reply-To"], mail["References"] = draft.references[-1], " ".join(draft.references)
        for name, value in draft.headers.items():
            mail[name] = value
        mail.set_content(draft.content.text)
        return mail


def locale_of(text: str) -> str:
    """Return the language in which to answer a text: Chinese if a tenth of it is Han and none of it is Japanese."""
    han = sum("\u4e00" <= each <= "\u9fff" for each in text)
    return "zh" if han * 10 > len(text) and not any("\u3040" <= each <= "\u30ff" for each in text) else "en"
