"""What clients see of cases, and the queries behind it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.cases.model import Did, Kind, NoSuchCase, Status
from crm_service.clocks import store as clocks
from crm_service.clocks.model import Step
from crossdock_chassis import Cursor, Page, columns

CURSOR: Final = Cursor("cases", UUID)
MOST: Final = 50

FIELDS: Final = """
    cases.id, number, kind, status, waiting_for, severity, category, subject, channel, partner, queue, follows,
    (SELECT root FROM customers WHERE customers.id = cases.customer_id) AS customer_id,
    CASE WHEN $1::text IS NULL THEN assignee END AS assignee, root_cause, level, segment, contract, merged_into,
    split_from, CASE WHEN $1::text IS NULL THEN parent END AS parent,
    CASE WHEN $1::text IS NULL THEN (SELECT count(*) FROM cases AS child WHERE child.parent = cases.id) END AS children,
    opened_at, changed_at, resolved_at, entries
"""
UNSEEN: Final = frozenset({Did.NOTED, Did.ASSIGNED, Did.RELEASED, Did.ESCALATED, Did.GROUPED})
"""What partners do not see of a history."""
MANY: Final = f"""
    SELECT viewer, {FIELDS.replace("$1::text", "viewer")}
    FROM unnest($1::text[], $2::uuid[]) AS asked (viewer, id) JOIN cases USING (id)
    WHERE viewer IS NULL OR partner = viewer
"""
PAGE: Final = f"""
    SELECT {FIELDS} FROM cases
    WHERE ($1::text IS NULL OR partner = $1) AND ($2::uuid IS NULL OR id < $2)
          AND ($3::text IS NULL OR status = $3)
          AND ($4::uuid IS NULL OR customer_id = ANY (ARRAY(SELECT id FROM customers WHERE root = $4)))
          AND ($5::bigint IS NULL OR number = $5) AND ($6::uuid IS NULL OR $1::text IS NULL AND parent = $6)
    ORDER BY id DESC LIMIT $7
"""
ENTRIES: Final = """
    SELECT case_id, number, at, did, status, waiting_for, side, body AS text, mail_id, who
    FROM case_entries WHERE case_id = ANY ($1::uuid[]) ORDER BY case_id, number
"""
TIES: Final = """
    SELECT case_id, order_id, nullif(line_id, '') AS line_id, quantity FROM case_ties WHERE case_id = ANY ($1::uuid[])
    ORDER BY case_id, order_id, case_ties.line_id
"""


Asked: TypeAlias = tuple[str | None, UUID]
"""The partner that asks for a case, or None for staff, and the id of the case."""


class TieView(BaseModel):
    order_id: UUID
    line_id: str | None
    quantity: int | None


class EntryView(BaseModel):
    number: int
    at: datetime
    did: Did
    status: Annotated[Status, Field(description="The status after it")]
    waiting_for: str | None
    side: Annotated[str, Field(description="customer, partner, staff or system")]
    who: Annotated[str | None, Field(description="Partners do not see the names of staff")]
    text: str | None
    mail_id: Annotated[UUID | None, Field(description="The mail that brought it, or that carries it")]


class ClockView(BaseModel):
    """A clock of the case, in the openings of its calendar."""

    clock: Annotated[Literal["first_answer", "resolution", "next_answer"], Field(description="What it measures")]
    state: Literal["running", "paused", "met", "missed"]
    target_seconds: int
    elapsed_seconds: Annotated[float, Field(description="Until now, in opening times")]
    due_at: Annotated[datetime | None, Field(description="null unless it runs")]


class CaseSummary(BaseModel):
    id: UUID
    number: Annotated[int, Field(description="For people: it is in the subject of each mail")]
    kind: Kind
    status: Status
    waiting_for: str | None
    severity: str
    category: str | None
    subject: str
    channel: str
    customer_id: UUID
    partner: str | None
    follows: Annotated[UUID | None, Field(description="The closed case that it goes on with")]
    queue: Annotated[str, Field(description="The queue that assigns it; empty without one")]
    assignee: Annotated[str | None, Field(description="Only staff see it")]
    root_cause: str | None
    level: Annotated[int, Field(description="How often it was escalated")]
    segment: Annotated[str, Field(description="Of the customer when it was opened; empty without one")]
    contract: Annotated[str, Field(description="As the segment")]
    merged_into: Annotated[UUID | None, Field(description="The case that has its replies since")]
    split_from: Annotated[UUID | None, Field(description="The case that it was split from")]
    parent: Annotated[UUID | None, Field(description="The case of what it has in common with others; for staff")]
    children: Annotated[int | None, Field(description="How many cases have it as parent; for staff")]
    opened_at: datetime
    changed_at: datetime
    resolved_at: datetime | None
    clocks: list[ClockView]
    entries: Annotated[int, Field(description="The number of its last entry; also its ETag")]


class CaseView(CaseSummary):
    ties: Annotated[list[TieView], Field(description="What it concerns")]
    history: Annotated[list[EntryView], Field(description="Partners see no notes, assignments, escalations and groups")]


async def get(sql: asyncpg.Connection, partner: str | None, id: UUID) -> CaseView:
    """Return a case of the partner, or any without one. Raise NoSuchCase, also for another partner's case."""
    found = await get_many(sql, [(partner, id)])
    if not found:
        raise NoSuchCase(f"None of your cases has the id {id}")
    return found[partner, id]


async def get_many(sql: asyncpg.Connection, asked: Sequence[Asked]) -> dict[Asked, CaseView]:
    """Return the cases that are there, by the partner that asks, or None for staff, and the id."""
    rows = await sql.fetch(MANY, *columns(asked))
    ids = [row["id"] for row in rows]
    ties, entries = _by_case(await sql.fetch(TIES, ids)), _by_case(await sql.fetch(ENTRIES, ids))
    steps = {id: [_step(each) for each in entries[id]] for id in entries}
    return {
        (row["viewer"], row["id"]): CaseView(
            **members,
            ties=[TieView(**each) for each in ties[row["id"]]],
            history=[
                EntryView(
                    **{**each, "who": each["who"] if row["viewer"] is None or each["side"] == "partner" else None}
                )
                for each in entries[row["id"]]
                if row["viewer"] is None or each["did"] not in UNSEEN
            ],
        )
        for row, members in zip(rows, await _summaries(sql, rows, steps), strict=True)
    }


def _by_case(rows: Sequence[asyncpg.Record]) -> Mapping[UUID, list[asyncpg.Record]]:
    found = defaultdict[UUID, list[asyncpg.Record]](list)
    for row in rows:
        found[row["case_id"]].append(row)
    return found


def _step(row: asyncpg.Record) -> Step:
    return Step(row["at"], row["did"], row["status"], row["waiting_for"])


async def page(
    sql: asyncpg.Connection,
    partner: str | None,
    cursor: str | None,
    limit: int,
    *,
    status: Status | None,
    customer_id: UUID | None,
    number: int | None = None,
    parent: UUID | None = None,
) -> Page[CaseSummary]:
    """Return cases, the newest first."""
    rows = await sql.fetch(PAGE, partner, CURSOR.decode(cursor), status, customer_id, number, parent, limit + 1)
    shown = rows[:limit]
    steps = await clocks.histories(sql, [row["id"] for row in shown])
    items = [CaseSummary(**each) for each in await _summaries(sql, shown, steps)]
    return Page(items=items, next=CURSOR.encode(shown[-1]["id"]) if len(rows) > limit else None)


async def of_customer(sql: asyncpg.Connection, customer_id: UUID, partner: str | None) -> list[CaseSummary]:
    """Return the newest 50 cases of a customer: those of the partner, or all without one."""
    return (await page(sql, partner, None, MOST, status=None, customer_id=customer_id)).items


async def _summaries(
    sql: asyncpg.Connection, rows: Sequence[asyncpg.Record], histories: Mapping[UUID, Sequence[Step]]
) -> list[dict[str, Any]]:
    """Return the members of each summary. The clocks are folded from the history, as the timers are."""
    if not rows:
        return []
    terms, now = await clocks.terms(sql), datetime.now(UTC)
    found = []
    for row in rows:
        folded = terms.fold(clocks.subject_of(row), histories[row["id"]], now)
        shown = [
            ClockView(
                clock=each.name,
                state=each.state,
                target_seconds=each.target,
                elapsed_seconds=round(each.elapsed, 3),
                due_at=each.due_at,
            )
            for each in folded
        ]
        found.append({**row, "clocks": shown})
    return found
