"""Read and write cases and their history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from crm_service.cases.model import Case, Did, Kind, NoSuchCase, Status, Tie
from crm_service.customers import store as customers
from crossdock_chassis import Unit, columns
from crossdock_events import Cause
from crossdock_events.cases import CaseEvent

INSERT: Final = """
    INSERT INTO cases (id, kind, customer_id, partner, status, severity, category, subject, channel, follows, version,
                       entries, opened_at, changed_at, split_from, segment, contract, queue)
    SELECT new.id, new.kind, customer_id, partner, status, severity, new.category, subject, channel, follows, version,
           1, $13, $13, split_from, coalesce(segment, ''), coalesce(contract, ''), coalesce((
               SELECT name FROM queues
               WHERE queues.kind IN ('', new.kind) AND queues.category IN ('', new.category)
               ORDER BY (queues.kind <> '')::int + (queues.category <> '')::int DESC, name LIMIT 1
           ), '')
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::uuid[], $11::bigint[], $12::uuid[])
         AS new (id, kind, customer_id, partner, status, severity, category, subject, channel, follows, version,
                 split_from)
    LEFT JOIN customer_terms USING (customer_id)
    RETURNING id, segment, contract
"""
FIELDS: Final = """
    id, kind, customer_id, partner, severity, status, waiting_for, assignee, resolved_at, root_cause, segment, contract,
    level, merged_into, parent, version, entries
"""
LOCK: Final = f"SELECT {FIELDS} FROM cases WHERE id = $1 AND ($2::text IS NULL OR partner = $2) FOR UPDATE"
OWNER: Final = "SELECT customer_id FROM cases WHERE id = $1 AND ($2::text IS NULL OR partner = $2)"
LOCK_MANY: Final = f"SELECT {FIELDS} FROM cases WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"
UPDATE: Final = """
    UPDATE cases SET status = $2, waiting_for = $3, assignee = $4, resolved_at = $5, root_cause = $6, version = $7,
                     entries = $8, changed_at = $9, level = $10, merged_into = $11, parent = $12
    WHERE id = $1
"""
APPEND: Final = """
    INSERT INTO case_entries (case_id, number, at, did, status, waiting_for, side, who, body, mail_id)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::uuid[])
"""
COPY_TIES: Final = """
    INSERT INTO case_ties (case_id, order_id, line_id, quantity)
    SELECT $2, order_id, line_id, quantity FROM case_ties WHERE case_id = $1 ORDER BY order_id, line_id
    ON CONFLICT DO NOTHING RETURNING order_id, line_id, quantity
"""
FOLLOWS: Final = "SELECT id FROM cases WHERE customer_id = $1 AND id > $2 AND follows = $2 ORDER BY id LIMIT 1"
TIE: Final = """
    INSERT INTO case_ties (case_id, order_id, line_id, quantity)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) ON CONFLICT DO NOTHING
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
    split_from: UUID | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """A new case, its first entry, and what it concerns."""

    new: NewCase
    entry: Entry
    ties: Sequence[Tie]
    cause: Cause | None


async def insert(unit: Unit, beginnings: Sequence[Beginning]) -> None:
    """Store new cases with what they concern. Their segments and contracts are those that their customers have now."""
    cases = {each.new.case.id: each.new.case for each in beginnings}
    rows = await unit.sql.fetch(INSERT, *columns([_row(each.new) for each in beginnings]), unit.now)
    for id, segment, contract in rows:
        cases[id].segment, cases[id].contract = segment, contract
    ties = [
        (each.new.case.id, tie.order_id, tie.line_id or "", tie.quantity) for each in beginnings for tie in each.ties
    ]
    if ties:
        await unit.sql.execute(TIE, *columns(ties))
    await unit.sql.execute(APPEND, *columns([_entry(each.new.case, each.entry, unit.now) for each in beginnings]))


def _row(new: NewCase) -> tuple[object, ...]:
    case = new.case
    return (
        case.id,
        case.kind,
        case.customer_id,
        case.partner,
        case.status,
        case.severity,
        new.category,
        new.subject,
        new.channel,
        new.follows,
        case.version,
        new.split_from,
    )


def _entry(case: Case, entry: Entry, at: datetime) -> tuple[object, ...]:
    return (
        case.id,
        case.entries,
        at,
        entry.did,
        case.status,
        case.waiting_for,
        entry.side,
        entry.who,
        entry.body,
        entry.mail_id,
    )


async def lock(unit: Unit, id: UUID, partner: str | None) -> Case:
    """Lock a case of the partner, or of any without one. Raise NoSuchCase, also for another partner's case."""
    row = await unit.sql.fetchrow(LOCK, id, partner)
    if row is None:
        raise NoSuchCase(f"None of your cases has the id {id}")
    return _case(row)


async def lock_target(unit: Unit, id: UUID, partner: str | None) -> Case:
    """Lock the case that has the replies to this one: itself, or the one into which it was merged.

    Only the last one is locked: a merge may hold it and wait for an earlier one.
    """
    while (into := await unit.sql.fetchval("SELECT merged_into FROM cases WHERE id = $1", id)) is not None:
        id = into
    case = await lock(unit, id, partner)
    return case if case.merged_into is None else await lock_target(unit, case.merged_into, partner)


async def lock_taker(unit: Unit, id: UUID, partner: str | None, reopens: timedelta) -> Case:
    """Lock the case that takes a reply to this one: itself, or the first case that follows it and does.

    Return the last of them if none does, so that a new case follows it. Each case on the way stays locked, so that two
    late replies begin one case. Raise NoSuchCase, CustomerErased.
    """
    await hold_customer(unit, id, partner)
    case = await lock_target(unit, id, partner)
    while not case.takes_replies(unit.now, reopens):
        after = await unit.sql.fetchval(FOLLOWS, case.customer_id, case.id)
        if after is None:
            break
        case = await lock_target(unit, after, partner)
    return case


async def hold_customer(unit: Unit, id: UUID, partner: str | None) -> None:
    """Hold the customer of a case before the case is locked (see `customers.hold`). Raise CustomerErased."""
    owner: UUID | None = await unit.sql.fetchval(OWNER, id, partner)
    if owner is not None:
        await customers.hold_one(unit, owner)


async def has_children(unit: Unit, id: UUID) -> bool:
    found: bool = await unit.sql.fetchval("SELECT EXISTS (SELECT FROM cases WHERE parent = $1)", id)
    return found


async def origin(unit: Unit, id: UUID) -> tuple[str | None, str, str]:
    """Return category, channel and subject."""
    return tuple(await unit.sql.fetchrow("SELECT category, channel, subject FROM cases WHERE id = $1", id))


async def lock_many(unit: Unit, ids: Sequence[UUID]) -> list[Case]:
    """Lock cases in the order of their ids, so that two who lock several do not wait for each other."""
    return [_case(row) for row in await unit.sql.fetch(LOCK_MANY, ids)]


def _case(row: asyncpg.Record) -> Case:
    return Case(**{**row, "kind": Kind(row["kind"]), "status": Status(row["status"])})


async def move_ties(unit: Unit, source: Case, target: Case) -> list[Tie]:
    """Let a case concern what another one does, and return what is new of it."""
    rows = await unit.sql.fetch(COPY_TIES, source.id, target.id)
    return [Tie(row["order_id"], row["line_id"] or None, row["quantity"]) for row in rows]


def publish(unit: Unit, case: Case, events: Sequence[CaseEvent], cause: Cause | None) -> None:
    for event in events:
        case.version += 1
        unit.publish(event, sequence=case.version, cause=cause)


async def record(
    unit: Unit, case: Case, entry: Entry, events: list[CaseEvent], cause: Cause | None, at: datetime | None = None
) -> None:
    """Append an entry to a locked case, publish the events, and store the case."""
    publish(unit, case, events, cause)
    case.entries += 1
    moment = at or unit.now
    await unit.sql.execute(APPEND, *columns([_entry(case, entry, moment)]))
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
        case.level,
        case.merged_into,
        case.parent,
    )
