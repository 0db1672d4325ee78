"""File mails that came in: as a reply to their case, or as a new case."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID

import asyncpg

from crm_service.attachments import store as attachments
from crm_service.attachments.store import NewAttachment
from crm_service.cases.model import Case, Did, Kind
from crm_service.cases.open import begin
from crm_service.cases.store import Entry, NewCase, lock_taker, record
from crm_service.cases.timing import time_case
from crm_service.cases.undelivered import undelivered
from crm_service.customers import store as customers
from crm_service.mail.reading import Attached, Outcome, Read, Unreadable, body_of, make
from crm_service.post.address import Addresses
from crm_service.post.compose import Post
from crm_service.post.suppress import lift, undeliverable
from crossdock_chassis import Child, ChildFailed, ChildLost, JobRun, Unit, is_transient, new_id
from crossdock_events.customers import CustomerRegistered

log = logging.getLogger(__name__)
T = TypeVar("T")

READ_SECONDS: Final = 20.0
MEMORY: Final = 1 << 30
IDLE_SECONDS: Final = 60.0
CALLS: Final = 1_000

BATCH: Final = 20
BATCH_BYTES: Final = 40 << 20
NEXT: Final = """
    SELECT id, raw, recipient FROM (
        SELECT id, raw, recipient, at, sum(octet_length(raw)) OVER (ORDER BY at, id) - octet_length(raw) AS before
        FROM (SELECT id, raw, recipient, at FROM mails WHERE state = 'stored' ORDER BY at, id LIMIT $1) AS oldest
    ) AS summed WHERE before < $2 ORDER BY at, id
"""
STILL: Final = "SELECT true FROM mails WHERE id = $1 AND state = 'stored' FOR UPDATE"
FILE: Final = """
    UPDATE mails SET state = $2, reason = $3, case_id = $4, sender = $5, message_id = $6, "references" = $7, html = $8
    WHERE id = $1
"""
BY_NUMBER: Final = "SELECT id FROM cases WHERE number = $1"
# The mail that is answered counts first. Anybody can claim an id, so ours counts before others, and the older one.
BY_REFERENCE: Final = """
    SELECT case_id FROM mails WHERE message_id = ANY ($1::text[]) AND case_id IS NOT NULL
    ORDER BY array_position($1, message_id) DESC, direction = 'out' DESC, at LIMIT 1
"""
BOUNCED: Final = """
    UPDATE mails SET state = 'bounced', reason = $2
    WHERE id = $1 AND direction = 'out' AND state IN ('requested', 'sent', 'unknown')
    RETURNING recipient
"""
REPORTED: Final = """
    SELECT id FROM mails
    WHERE message_id = ANY ($1::text[]) AND direction = 'out' AND ($2::text IS NULL OR lower(recipient) = lower($2))
    LIMIT 1
"""
SAME: Final = """
    SELECT case_id, raw FROM mails
    WHERE message_id = $1 AND direction = 'in' AND state = 'filed' AND lower(sender) = lower($2) ORDER BY at LIMIT 3
"""
TAKES_PART: Final = """
    SELECT cases.id FROM cases WHERE number = $1 AND EXISTS (
        SELECT FROM channels WHERE match = lower($2) AND customer_id = cases.customer_id
        UNION ALL SELECT FROM mails WHERE case_id = cases.id AND lower(sender) = lower($2)
    )
"""


@dataclass(slots=True)
class Filing:
    """Reads mails in a child process, one after another. A batch is filed in one unit, each mail behind a savepoint."""

    post: Post
    reopens: timedelta
    child: Child[Outcome | Attached] = field(
        default_factory=lambda: Child(make, idle_seconds=IDLE_SECONDS, calls=CALLS, memory=MEMORY)
    )

    @property
    def addresses(self) -> Addresses:
        return self.post.addresses

    async def file_mails(self, run: JobRun) -> Mapping[str, object]:
        filed = 0
        while rows := await run.fetch(NEXT, BATCH, BATCH_BYTES):
            read = []
            for row in rows:
                read.append((row, *await self._read(row["raw"])))
                run.beat()
            async with run.unit() as unit:
                for row, outcome, attached in read:
                    if await unit.sql.fetchval(STILL, row["id"]):
                        await self._file_alone(unit, row, outcome, attached)
                        filed += 1
        return {"filed": filed}

    async def _file_alone(
        self, unit: Unit, row: asyncpg.Record, outcome: Outcome, attached: Sequence[Attached]
    ) -> None:
        """File a mail, or set it aside for a person if that fails: the mails behind it must not wait."""
        try:
            async with unit.savepoint():
                await self._file(unit, row, outcome, attached)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("mail %s cannot be filed", row["id"])
            await self._file(unit, row, Unreadable(f"it cannot be filed: {type(error).__name__}"), ())

    async def _read(self, raw: bytes) -> tuple[Outcome, list[Attached]]:
        attached: list[Attached] = []
        outcome: Outcome = Unreadable("it could not be read")
        try:
            async for each in self.child.call(raw, seconds=READ_SECONDS):
                if isinstance(each, Attached):
                    attached.append(each)
                else:
                    outcome = each
        except (ChildLost, ChildFailed) as error:
            return Unreadable(str(error)[:200]), []
        return outcome, attached

    async def _file(self, unit: Unit, row: asyncpg.Record, outcome: Outcome, attached: Sequence[Attached]) -> None:
        id, recipient = row["id"], row["recipient"]
        if isinstance(outcome, Unreadable):
            await unit.sql.execute(FILE, id, "unreadable", outcome.reason, None, None, None, [], None)
            return
        machine, case_id = "our own" if self.addresses.is_ours(outcome.sender) else outcome.machine, None
        about = self._signed(self.addresses.bounced, recipient, outcome)
        if about is None and machine is not None and outcome.failed is not None:
            about = await self._reported(unit, outcome)
        if about is not None:
            machine = machine or "report"
            case_id = await unit.sql.fetchval("SELECT case_id FROM mails WHERE id = $1", about)
            await self._bounced(unit, about, outcome)
        else:
            case_id = await self._case_of(unit, recipient, outcome)
        if machine is None and (same := await self._same(unit, row["raw"], outcome)) is not None:
            await self._settle(unit, id, "duplicate", "it came before, another way", same, outcome)
            return
        if machine is None:
            case_id = await self._take(unit, id, recipient, outcome, case_id)
            await lift(unit, self.addresses, outcome.sender)
            for each in attached:
                new = NewAttachment(case_id, each.name, each.media_type, "customer", mail_id=id)
                await attachments.keep(unit, new, each.content)
        await self._settle(unit, id, "filed" if machine is None else "machine", machine, case_id, outcome)

    async def _settle(
        self, unit: Unit, id: UUID, state: str, reason: str | None, case_id: UUID | None, mail: Read
    ) -> None:
        references = list(mail.references)
        await unit.sql.execute(
            FILE, id, state, reason, case_id, mail.sender or None, mail.message_id, references, mail.html
        )

    async def _same(self, unit: Unit, raw: bytes, mail: Read) -> UUID | None:
        """Return the case of this mail if it was filed before: sent to two of our addresses, or by two servers.

        Servers add header fields, so sender, Message-ID and body are compared. Some programs use one id twice.
        """
        if mail.message_id is None:
            return None
        for row in await unit.sql.fetch(SAME, mail.message_id, mail.sender):
            if body_of(row["raw"]) == body_of(raw):
                case_id: UUID = row["case_id"]
                return case_id
        return None

    def _signed(self, of: Callable[[str], T | None], recipient: str, mail: Read) -> T | None:
        """Return what one of the addresses is signed for: the recipient, or one that the header names."""
        return next((found for each in (recipient, *mail.addressed) if (found := of(each)) is not None), None)

    async def _bounced(self, unit: Unit, about: UUID, report: Read) -> None:
        """Note that a mail of ours has not arrived. Send no other mail to the address if none would.

        The report came to an address that is signed for the mail, or names the mail by its id. So nobody else can
        block an address.
        """
        if report.failed is None:
            return
        status = report.failed.status or "no such address"
        to = await unit.sql.fetchval(BOUNCED, about, status)
        if to is not None:
            await undelivered(unit, about, f"returned with {status}")
            if report.failed.hard:
                await undeliverable(unit, self.addresses, to, status)

    async def _reported(self, unit: Unit, report: Read) -> UUID | None:
        """Return the mail of ours that a report names by its id, and by the address if the report states one.

        The ids are random, and only whom the mail was for and the servers on the way know them.
        """
        assert report.failed is not None
        about: UUID | None = await unit.sql.fetchval(REPORTED, list(report.failed.about), report.failed.to)
        return about

    async def _case_of(self, unit: Unit, recipient: str, mail: Read) -> UUID | None:
        """Return the case: by signed address, then by the mails it names, then by number if the sender takes part.

        A forged address has a wrong signature, and the mail is then threaded as if it had gone to the plain address.
        """
        found: UUID | None = None
        if (number := self._signed(self.addresses.case_of, recipient, mail)) is not None:
            found = await unit.sql.fetchval(BY_NUMBER, number)
        if found is None and mail.references:
            found = await unit.sql.fetchval(BY_REFERENCE, list(mail.references))
        if found is None and (number := _number_in(mail.subject)) is not None:
            found = await unit.sql.fetchval(TAKES_PART, number, mail.sender)
        return found

    async def _take(self, unit: Unit, id: UUID, recipient: str, mail: Read, case_id: UUID | None) -> UUID:
        """Add the mail to its case, or open one: another one if the case is closed or was resolved long ago."""
        customer_id, partner, kind = None, None, Kind.ENQUIRY
        if case_id is not None:
            before = await lock_taker(unit, case_id, None, self.reopens)
            case_id = before.id
            if before.takes_replies(unit.now, self.reopens):
                await record(unit, before, Entry(Did.REPLIED, "customer", None, mail.text, id), before.reply(), None)
                await time_case(unit, before)
                return case_id
            customer_id, partner, kind = before.customer_id, before.partner, before.kind
        elif any(self.addresses.is_complaint(each) for each in (recipient, *mail.addressed)):
            kind = Kind.COMPLAINT
        if customer_id is None:
            customer_id = await _customer(unit, mail.sender)
        case = Case(new_id(), kind, customer_id, partner)
        entry = Entry(Did.OPENED, "customer", None, mail.text, id)
        await begin(unit, NewCase(case, None, mail.subject, "mail", follows=case_id), entry, [], None)
        await self.post.acknowledge(unit, case.id, mail.sender, mail.message_id, mail.text)
        return case.id


def _number_in(subject: str) -> int | None:
    _, mark, rest = subject.rpartition("[#")
    number, closed, _ = rest.partition("]")
    return int(number) if mark and closed and number.isascii() and number.isdigit() and len(number) < 19 else None


async def _customer(unit: Unit, address: str) -> UUID:
    """Return the customer with this address, who is registered if there is none."""
    if (known := await customers.customer_of(unit, address)) is not None:
        return known
    id = new_id()
    await customers.register(unit, [(id, "person", None, None)], "mail")
    await customers.add_address(unit, id, address)
    unit.publish(CustomerRegistered(customer_id=id, kind="person", origin="mail"), sequence=1, cause=None)
    return id
