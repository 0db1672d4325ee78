"""File mails that came in: as a reply to their case, or as a new case."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from crm_service.attachments import store as attachments
from crm_service.attachments.store import NewAttachment
from crm_service.cases.model import Case, Did, Kind
from crm_service.cases.open import begin_all
from crm_service.cases.store import Beginning, Entry, NewCase, lock_taker, record
from crm_service.cases.timing import time_case
from crm_service.cases.undelivered import undelivered
from crm_service.customers import store as customers
from crm_service.customers.model import AddressTaken, CustomerErased, match_of
from crm_service.mail import threads
from crm_service.mail.reading import Attached, Outcome, Unreadable, make
from crm_service.mail.threads import Mail
from crm_service.post.address import Addresses
from crm_service.post.compose import Post, ToAcknowledge
from crm_service.post.suppress import lift, undeliverable
from crossdock_chassis import Child, ChildFailed, ChildLost, JobRun, Unit, columns, is_transient, new_id
from crossdock_events.customers import CustomerRegistered

log = logging.getLogger(__name__)

READ_SECONDS: Final = 20.0
MEMORY: Final = 1 << 30
IDLE_SECONDS: Final = 60.0
CALLS: Final = 1_000

LOOKS: Final = 3
BATCH: Final = 50
BATCH_BYTES: Final = 40 << 20
NEXT: Final = """
    SELECT id, raw, recipient FROM (
        SELECT id, raw, recipient, at, sum(octet_length(raw)) OVER (ORDER BY at, id) - octet_length(raw) AS before
        FROM (SELECT id, raw, recipient, at FROM mails WHERE state = 'stored' ORDER BY at, id LIMIT $1) AS oldest
    ) AS summed WHERE before < $2 ORDER BY at, id
"""
STILL: Final = "SELECT id FROM mails WHERE id = ANY ($1::uuid[]) AND state = 'stored' ORDER BY id FOR UPDATE"
SET_ASIDE: Final = "UPDATE mails SET state = 'unreadable', reason = $2 WHERE id = $1"
FILE: Final = """
    UPDATE mails SET state = new.state, reason = new.reason, case_id = new.case_id, sender = new.sender,
                     message_id = new.message_id, html = new.html,
                     "references" = ARRAY(SELECT jsonb_array_elements_text(new.named))
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::jsonb[])
         AS new (id, state, reason, case_id, sender, message_id, html, named)
    WHERE mails.id = new.id
"""
BOUNCED: Final = """
    UPDATE mails SET state = 'bounced', reason = $2
    WHERE id = $1 AND direction = 'out' AND state IN ('requested', 'sent', 'unknown')
    RETURNING recipient
"""


class Filed(NamedTuple):
    """How a mail is filed: its state with the reason, and its case."""

    mail: Mail
    state: str
    reason: str | None
    case_id: UUID | None


@dataclass(slots=True)
class Filing:
    """Reads mails in a child process, one after another, and files a batch in one unit.

    Mails that do not depend on each other are filed together, behind one savepoint.
    """

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
            read = list[Mail | tuple[UUID, Unreadable]]()
            for row in rows:
                read.append(await self._read(row))
                run.beat()
            async with run.unit() as unit:
                still = {row["id"] for row in await unit.sql.fetch(STILL, [row["id"] for row in rows])}
                mails = [each for each in read if isinstance(each, Mail) and each.id in still]
                for each in read:
                    if not isinstance(each, Mail) and each[0] in still:
                        await unit.sql.execute(SET_ASIDE, each[0], each[1].reason)
                for together in independent(mails):
                    await self._file_safely(unit, together)
                filed += len(still)
        return {"filed": filed}

    async def _file_safely(self, unit: Unit, mails: Sequence[Mail]) -> None:
        """File mails. If that fails, file each alone, and set aside for a person what fails alone.

        The mails behind it must not wait.
        """
        try:
            async with unit.savepoint():
                await self._file(unit, mails)
        except Exception as error:
            if is_transient(error):
                raise
            if len(mails) > 1:
                for each in mails:
                    await self._file_safely(unit, [each])
                return
            log.exception("mail %s cannot be filed", mails[0].id)
            await unit.sql.execute(SET_ASIDE, mails[0].id, f"it cannot be filed: {type(error).__name__}")

    async def _read(self, row: asyncpg.Record) -> Mail | tuple[UUID, Unreadable]:
        attached: list[Attached] = []
        outcome: Outcome = Unreadable("it could not be read")
        try:
            async for each in self.child.call(row["raw"], seconds=READ_SECONDS):
                if isinstance(each, Attached):
                    attached.append(each)
                else:
                    outcome = each
        except (ChildLost, ChildFailed) as error:
            outcome = Unreadable(str(error)[:200])
        if isinstance(outcome, Unreadable):
            return row["id"], outcome
        return Mail(row["id"], row["raw"], row["recipient"], outcome, attached)

    async def _file(self, unit: Unit, mails: Sequence[Mail]) -> None:
        """File mails that do not depend on each other."""
        filed = list[Filed]()
        from_people = list[Mail]()
        known, before = await threads.cases_of(unit, self.addresses, mails), await threads.same(unit, mails)
        for mail in mails:
            machine = "our own" if self.addresses.is_ours(mail.read.sender) else mail.read.machine
            case_id = known.get(mail.id)
            if (about := await threads.about(unit, self.addresses, mail, machine)) is not None:
                machine = machine or "report"
                case_id = await unit.sql.fetchval("SELECT case_id FROM mails WHERE id = $1", about)
                await self._bounced(unit, about, mail)
            if machine is not None:
                filed.append(Filed(mail, "machine", machine, case_id))
            elif mail.id in before:
                filed.append(Filed(mail, "duplicate", "it came before, another way", before[mail.id]))
            else:
                from_people.append(mail)
        cases = await self._take(unit, from_people, known)
        await lift(unit, self.addresses, [mail.read.sender for mail in from_people])
        for mail in from_people:
            for each in mail.attached:
                new = NewAttachment(cases[mail.id], each.name, each.media_type, "customer", mail_id=mail.id)
                await attachments.keep(unit, new, each.content)
        await _settle(unit, filed + [Filed(mail, "filed", None, cases[mail.id]) for mail in from_people])

    async def _bounced(self, unit: Unit, about: UUID, report: Mail) -> None:
        """Note that a mail of ours has not arrived. Send no other mail to the address if none would.

        The report came to an address that is signed for the mail, or names the mail by its id. So nobody else can
        block an address.
        """
        if (failed := report.read.failed) is None:
            return
        status = failed.status or "no such address"
        to = await unit.sql.fetchval(BOUNCED, about, status)
        if to is not None:
            await undelivered(unit, about, f"returned with {status}")
            if failed.hard:
                await undeliverable(unit, self.addresses, to, status)

    async def _take(self, unit: Unit, mails: Sequence[Mail], known: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
        """Add each mail to its case, or open one: another one if the case is closed or was resolved long ago.

        Return the case of each mail. The case of a customer that was erased is empty, and takes nothing any more.
        """
        cases, new = dict[UUID, UUID](), list[tuple[Mail, Kind]]()
        for mail in mails:
            try:
                if mail.id in known:
                    cases[mail.id] = await self._reply(unit, mail, known[mail.id])
                    continue
            except CustomerErased:
                pass
            is_complaint = any(self.addresses.is_complaint(each) for each in (mail.recipient, *mail.read.addressed))
            new.append((mail, Kind.COMPLAINT if is_complaint else Kind.ENQUIRY))
        owners = await _customers(unit, [mail.read.sender for mail, _ in new])
        beginnings = []
        for mail, kind in new:
            case = Case(new_id(), kind, owners[match_of(mail.read.sender)], None)
            cases[mail.id] = case.id
            beginnings.append(_beginning(case, mail))
        await self._begin(unit, [mail for mail, _ in new], beginnings)
        return cases

    async def _reply(self, unit: Unit, mail: Mail, case_id: UUID) -> UUID:
        """Add the mail to its case, or begin the case that follows it. Return the case. Raise CustomerErased."""
        before = await lock_taker(unit, case_id, None, self.reopens)
        if before.takes_replies(unit.now, self.reopens):
            entry = Entry(Did.REPLIED, "customer", None, mail.read.text, mail.id)
            await record(unit, before, entry, before.reply(), None)
            await time_case(unit, before)
            return before.id
        case = Case(new_id(), before.kind, before.customer_id, before.partner)
        await self._begin(unit, [mail], [_beginning(case, mail, follows=before.id)])
        return case.id

    async def _begin(self, unit: Unit, mails: Sequence[Mail], beginnings: Sequence[Beginning]) -> None:
        await begin_all(unit, beginnings)
        asked = [
            ToAcknowledge(each.new.case.id, mail.read.sender, mail.read.message_id, mail.read.text)
            for mail, each in zip(mails, beginnings, strict=True)
        ]
        await self.post.acknowledge(unit, asked)


def independent(mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
    """Yield the mails in their order, in runs within which no mail answers, repeats or follows another one.

    A sender has one customer and one acknowledgement a day, so two mails of one sender are in two runs.
    """
    run, names = list[Mail](), set[str]()
    for mail in mails:
        if names & mail.names:
            yield run
            run, names = [], set()
        run.append(mail)
        names |= mail.names
    if run:
        yield run


def _beginning(case: Case, mail: Mail, follows: UUID | None = None) -> Beginning:
    entry = Entry(Did.OPENED, "customer", None, mail.read.text, mail.id)
    return Beginning(NewCase(case, None, mail.read.subject, "mail", follows=follows), entry, [], None)


async def _settle(unit: Unit, filed: Sequence[Filed]) -> None:
    if filed:
        await unit.sql.execute(FILE, *columns([_row(each) for each in filed]))


def _row(filed: Filed) -> tuple[Any, ...]:
    mail = filed.mail.read
    named = to_json(mail.references).decode()
    sender = mail.sender or None
    return filed.mail.id, filed.state, filed.reason, filed.case_id, sender, mail.message_id, mail.html, named


async def _customers(unit: Unit, addresses: Sequence[str]) -> dict[str, UUID]:
    """Return the customers with these addresses, by the form that is compared, and register who is not known.

    They are held, so that no erasure ends before this unit. A customer that an erasure takes at this moment is gone
    then, and so is its address: the next look registers another one.
    """
    wanted, found = {match_of(each): each for each in addresses}, dict[str, UUID]()
    for _ in range(LOOKS):
        if not (left := sorted(wanted.keys() - found)):
            return found
        known = await customers.customers_of(unit, left)
        held = await customers.hold(unit, list(known.values()))
        found |= {match: id for match, id in known.items() if id in held}
        ids = {match: new_id() for match in left if match not in known}
        added = await customers.add_addresses(unit, [(id, match, wanted[match]) for match, id in ids.items()])
        new = [ids[match] for match in sorted(added)]
        await customers.register(unit, [(id, "person", None, None) for id in new], "mail")
        for id in new:
            unit.publish(CustomerRegistered(customer_id=id, kind="person", origin="mail"), sequence=1, cause=None)
        found |= {match: ids[match] for match in added}
    raise AddressTaken
