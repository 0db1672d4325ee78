"""File mails that came in: as a reply to their case, or as a new case."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from crm_service.cases.model import Case, Did, Kind
from crm_service.cases.open import begin
from crm_service.cases.store import Entry, NewCase, lock, record
from crm_service.cases.timing import time_case
from crm_service.customers import store as customers
from crm_service.mail.reading import Outcome, Read, Unreadable, make
from crm_service.post.address import COMPLAINTS, Addresses
from crossdock_chassis import Child, ChildFailed, ChildLost, JobRun, Unit, new_id
from crossdock_events.customers import CustomerRegistered

READ_SECONDS: Final = 10.0
MEMORY: Final = 1 << 30
IDLE_SECONDS: Final = 60.0
CALLS: Final = 1_000

NEXT: Final = "SELECT id, raw, recipient FROM mails WHERE state = 'stored' ORDER BY at, id LIMIT 1"
STILL: Final = "SELECT true FROM mails WHERE id = $1 AND state = 'stored' FOR UPDATE"
FILE: Final = """
    UPDATE mails SET state = $2, reason = $3, case_id = $4, sender = $5, message_id = $6, "references" = $7
    WHERE id = $1
"""
BY_NUMBER: Final = "SELECT id FROM cases WHERE number = $1"
BY_REFERENCE: Final = """
    SELECT case_id FROM mails WHERE message_id = ANY ($1::text[]) AND case_id IS NOT NULL ORDER BY at DESC LIMIT 1
"""
TAKES_PART: Final = """
    SELECT cases.id FROM cases WHERE number = $1 AND EXISTS (
        SELECT FROM channels WHERE match = lower($2) AND customer_id = cases.customer_id
        UNION ALL SELECT FROM mails WHERE case_id = cases.id AND lower(sender) = lower($2)
    )
"""


@dataclass(slots=True)
class Filing:
    """Reads mails in a child process, one after another, and files each in a unit of its own."""

    addresses: Addresses
    reopens: timedelta
    child: Child[Outcome] = field(
        default_factory=lambda: Child(make, idle_seconds=IDLE_SECONDS, calls=CALLS, memory=MEMORY)
    )

    async def file_mails(self, run: JobRun) -> Mapping[str, object]:
        filed = 0
        while True:
            async with run.unit() as unit:
                row = await unit.sql.fetchrow(NEXT)
            if row is None:
                return {"filed": filed}
            outcome = await self._read(row["raw"])
            async with run.unit() as unit:
                if await unit.sql.fetchval(STILL, row["id"]):
                    await self._file(unit, row, outcome)
                    filed += 1

    async def _read(self, raw: bytes) -> Outcome:
        try:
            async for outcome in self.child.call(raw, seconds=READ_SECONDS):
                return outcome
        except (ChildLost, ChildFailed) as error:
            return Unreadable(str(error)[:200])
        return Unreadable("it could not be read")

    async def _file(self, unit: Unit, row: asyncpg.Record, outcome: Outcome) -> None:
        id = row["id"]
        if isinstance(outcome, Unreadable):
            await unit.sql.execute(FILE, id, "unreadable", outcome.reason, None, None, None, [])
            return
        case_id = await self._case_of(unit, row["recipient"], outcome)
        machine = "our own" if self.addresses.is_ours(outcome.sender) else outcome.machine
        if machine is None:
            case_id = await self._take(unit, id, row["recipient"], outcome, case_id)
        state = "filed" if machine is None else "machine"
        references = list(outcome.references)
        await unit.sql.execute(FILE, id, state, machine, case_id, outcome.sender, outcome.message_id, references)

    async def _case_of(self, unit: Unit, recipient: str, mail: Read) -> UUID | None:
        """Return the case: by signed address, then by the mails it names, then by number if the sender takes part.

        A forged address has a wrong signature, and the mail is then threaded as if it had gone to the plain address.
        """
        found: UUID | None = None
        if (number := self.addresses.case_of(recipient)) is not None:
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
            before = await lock(unit, case_id, None)
            if before.takes_replies(unit.now, self.reopens):
                await record(unit, before, Entry(Did.REPLIED, "customer", None, mail.text, id), before.reply(), None)
                await time_case(unit, before)
                return case_id
            customer_id, partner, kind = before.customer_id, before.partner, before.kind
        elif recipient.lower().startswith(COMPLAINTS):
            kind = Kind.COMPLAINT
        if customer_id is None:
            customer_id = await _customer(unit, mail.sender)
        case = Case(new_id(), kind, customer_id, partner)
        entry = Entry(Did.OPENED, "customer", None, mail.text, id)
        await begin(unit, NewCase(case, None, mail.subject, "mail", follows=case_id), entry, None, None)
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
