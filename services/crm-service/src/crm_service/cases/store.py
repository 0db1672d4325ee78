"""Read and write cases and their history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from crm_service.cases.model import Case, Did, Kind, NoSuchCase, Status, Tie
from crossdock_chassis import Unit
from crossdock_events import Cause
from crossdock_events.cases import CaseEvent

INSERT: Final = """
    INSERT INTO cases (id, kind, customer_id, partner, status, severity, category, subject, channel, follows, version,
                       entries, opened_at, changed_at)
    VALUES ($1, $2, $3, $4, 'new', $5, $6, $7, $8, $9, 0, 0, $10, $10)
"""
LOCK: Final = """
    SELECT id, kind, customer_id, partner, severity, status, waiting_for, assignee, resolved_at,
           root_cause, version, entries
    FROM cases WHERE id = $1 AND ($2::text IS NULL OR partner = $2) FOR UPDATE
"""
UPDATE: Final = """
    UPDATE cases SET status = $2, waiting_for = $3, assignee = $4, resolved_at = $5, root_cause = $6, version = $7,
                     entries = $8, changed_at = $9
    WHERE id = $1
"""
APPEND: Final = """
    INSERT INTO case_entries (case_id, number, at, did, status, waiting_for, side, who, body, mail_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
TIE: Final = """
    INSERT INTO case_ties (case_id, order_id, line_id, quantity) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the history. `side` is customer, partner, staff or system, and `who` is the subject of the token."""

    did: Did
    side: str
    who: str | None = None
    body: str | None = None
    mail_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewCase:
    case: Case
    category: str | None
    subject: str
    channel: str
    follows: UUID | None = None


async def insert(unit: Unit, new: NewCase) -> None:
    case = new.case
    await unit.sql.execute(
        INSERT,
        case.id,
        case.kind,
        case.customer_id,
        case.partner,
        case.severity,
        new.category,
        new.subject,
        new.channel,
        new.follows,
        unit.now,
    )


async def lock(unit: Unit, id: UUID, partner: str | None) -> Case:
    """Lock a case of the partner, or of any without one. Raise NoSuchCase, also for another partner's case."""
    row = await unit.sql.fetchrow(LOCK, id, partner)
    if row is None:
        raise NoSuchCase(f"None of your cases has the id {id}")
    return Case(**{**row, "kind": Kind(row["kind"]), "status": Status(row["status"])})


async def tie(unit: Unit, case: Case, to: Tie) -> None:
    await unit.sql.execute(TIE, case.id, to.order_id, to.line_id or "", to.quantity)


async def record(
    unit: Unit, case: Case, entry: Entry, events: list[CaseEvent], cause: Cause | None, at: datetime | None = None
) -> None:
    """Append an entry to a locked case, publish the events, and store the case."""
    for event in events:
        case.version += 1
        unit.publish(event, sequence=case.version, cause=cause)
    case.entries += 1
    moment = at or unit.now
    await unit.sql.execute(
        APPEND,
        case.id,
        case.entries,
        moment,
        entry.did,
        case.status,
        case.waiting_for,
        entry.side,
        entry.who,
        entry.body,
        entry.mail_id,
    )
    await unit.sql.execute(
        UPDATE,
        case.id,
        case.status,
        case.waiting_for,
        case.assignee,
        case.resolved_at,
        case.root_cause,
        case.version,
        case.entries,
        moment,
    )
