"""Find what mails belong to: the case that they answer, the same mail filed before, and the mail of ours that a report
is about.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from crm_service.mail.reading import Attached, Read, body_of
from crm_service.post.address import Addresses
from crossdock_chassis import Unit, columns

T = TypeVar("T")

BY_NUMBER: Final = "SELECT number, id FROM cases WHERE number = ANY ($1::bigint[])"
# The mail that is answered counts first. Anybody can claim an id, so ours counts before others, and the older one.
BY_REFERENCE: Final = """
    SELECT DISTINCT ON (asked.mail) asked.mail, case_id
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS asked (mail, reference, place)
    JOIN mails ON message_id = reference
    WHERE case_id IS NOT NULL ORDER BY asked.mail, place DESC, direction = 'out' DESC, at
"""
TAKES_PART: Final = """
    SELECT asked.mail, cases.id FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS asked (mail, number, sender)
    JOIN cases USING (number) WHERE EXISTS (
        SELECT FROM channels WHERE match = lower(asked.sender) AND customer_id = cases.customer_id
        UNION ALL SELECT FROM mails WHERE case_id = cases.id AND lower(mails.sender) = lower(asked.sender)
    )
"""
SAME: Final = """
    SELECT asked.mail, case_id, raw FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (mail, id, sender)
    CROSS JOIN LATERAL (
        SELECT case_id, raw, at FROM mails
        WHERE message_id = asked.id AND direction = 'in' AND state = 'filed'
              AND lower(mails.sender) = lower(asked.sender)
        ORDER BY at LIMIT 3
    ) AS before ORDER BY at
"""
REPORTED: Final = """
    SELECT id FROM mails
    WHERE message_id = ANY ($1::text[]) AND direction = 'out' AND ($2::text IS NULL OR lower(recipient) = lower($2))
    LIMIT 1
"""


class Mail(NamedTuple):
    """A mail that could be read."""

    id: UUID
    raw: bytes
    recipient: str
    read: Read
    attached: Sequence[Attached]

    def signed(self, of: Callable[[str], T | None]) -> T | None:
        """Return what one of its addresses is signed for: the recipient, or one that the header names."""
        return next((found for each in (self.recipient, *self.read.addressed) if (found := of(each)) is not None), None)

    @property
    def names(self) -> set[str]:
        """Return all by which another mail can belong to it, or it to another mail."""
        return {each for each in (self.read.sender.lower(), self.read.message_id, *self.read.references) if each}


async def cases_of(unit: Unit, addresses: Addresses, mails: Sequence[Mail]) -> Mapping[UUID, UUID]:
    """Return the cases of mails: by signed address, then by the mails they name, then by number if the sender takes
    part.

    A forged address has a wrong signature, and the mail is then threaded as if it had gone to the plain address.
    """
    signed = {each.id: number for each in mails if (number := each.signed(addresses.case_of)) is not None}
    found = dict[UUID, UUID]()
    if signed:
        by_number = {row["number"]: row["id"] for row in await unit.sql.fetch(BY_NUMBER, list(set(signed.values())))}
        found = {id: by_number[number] for id, number in signed.items() if number in by_number}
    named = [
        (each.id, reference, place)
        for each in mails
        if each.id not in found
        for place, reference in enumerate(each.read.references)
    ]
    if named:
        found |= {mail: case for mail, case in await unit.sql.fetch(BY_REFERENCE, *columns(named))}
    numbered = [
        (each.id, number, each.read.sender)
        for each in mails
        if each.id not in found and (number := _number_in(each.read.subject)) is not None
    ]
    if numbered:
        found |= {mail: case for mail, case in await unit.sql.fetch(TAKES_PART, *columns(numbered))}
    return found


async def same(unit: Unit, mails: Sequence[Mail]) -> Mapping[UUID, UUID]:
    """Return the cases of mails that were filed before: sent to two of our addresses, or by two servers.

    Servers add header fields, so sender, Message-ID and body are compared. Some programs use one id twice.
    """
    asked = {each.id: each for each in mails if each.read.message_id is not None}
    if not asked:
        return {}
    rows = [(each.id, each.read.message_id, each.read.sender) for each in asked.values()]
    found = dict[UUID, UUID]()
    for mail, case_id, raw in await unit.sql.fetch(SAME, *columns(rows)):
        if body_of(raw) == body_of(asked[mail].raw):
            found.setdefault(mail, case_id)
    return found


async def about(unit: Unit, addresses: Addresses, mail: Mail, machine: str | None) -> UUID | None:
    """Return the mail of ours that a report is about: by signed address, or by the id that it names.

    The ids are random, and only whom the mail was for and the servers on the way know them. A report that states an
    address must state that of the mail.
    """
    found = mail.signed(addresses.bounced)
    if found is None and machine is not None and (failed := mail.read.failed) is not None:
        found = await unit.sql.fetchval(REPORTED, list(failed.about), failed.to)
    return found


def _number_in(subject: str) -> int | None:
    _, mark, rest = subject.rpartition("[#")
    number, closed, _ = rest.partition("]")
    return int(number) if mark and closed and number.isascii() and number.isdigit() and len(number) < 19 else None
