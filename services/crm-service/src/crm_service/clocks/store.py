"""Read and write policies, calendars and timers."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from crm_service.clocks.model import (
    DEFAULTS,
    Calendar,
    Clock,
    Opening,
    Policy,
    SpecialDay,
    Step,
    clocks,
    openings_of,
)
from crossdock_chassis import Unit, columns

TERMS: Final = """
    SELECT (SELECT json_agg(each ORDER BY kind, severity, segment, contract) FROM sla_policies AS each)::text,
           (SELECT json_agg(each ORDER BY name) FROM sla_calendars AS each)::text
"""
HOLD_TERMS: Final = "LOCK TABLE sla_policies IN ROW EXCLUSIVE MODE"
KEEP_POLICY: Final = """
    INSERT INTO sla_policies (kind, severity, segment, contract, first_answer, resolution, next_answer, steps, calendar)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (kind, severity, segment, contract) DO UPDATE SET first_answer = excluded.first_answer,
        resolution = excluded.resolution, next_answer = excluded.next_answer, steps = excluded.steps,
        calendar = excluded.calendar
"""
KEEP_CALENDAR: Final = """
    INSERT INTO sla_calendars (name, zone, openings, holidays, special) VALUES ($1, $2, $3::jsonb, $4, $5::jsonb)
    ON CONFLICT (name) DO UPDATE SET zone = excluded.zone, openings = excluded.openings, holidays = excluded.holidays,
        special = excluded.special
"""
KEEP_TERMS: Final = """
    INSERT INTO customer_terms AS terms (customer_id, segment, contract) VALUES ($1, $2, $3)
    ON CONFLICT (customer_id) DO UPDATE SET segment = excluded.segment, contract = excluded.contract
    WHERE (terms.segment, terms.contract) <> (excluded.segment, excluded.contract) RETURNING true
"""
HISTORY: Final = """
    SELECT case_id, at, did, status, waiting_for FROM case_entries WHERE case_id = ANY ($1::uuid[])
    ORDER BY case_id, number
"""
SET: Final = """
    INSERT INTO case_timers (case_id, clock, round, noticed, due_at)
    SELECT case_id, clock, round, noticed, greatest(due_at, $6)
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
         AS new (case_id, clock, round, noticed, due_at)
    WHERE NOT EXISTS (
        SELECT FROM sla_marks
        WHERE (case_id, clock, round, noticed) = (new.case_id, new.clock, new.round, new.noticed)
    )
"""
MARK: Final = """
    INSERT INTO sla_marks (case_id, clock, round, noticed, due_at, noticed_at)
    SELECT *, $6 FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
    ON CONFLICT DO NOTHING RETURNING case_id, clock, noticed
"""


class Subject(NamedTuple):
    """What the policy of a case depends on. Segment and contract are empty for a customer without one."""

    kind: str
    severity: str
    segment: str = ""
    contract: str = ""


class Moment(NamedTuple):
    """A moment of a clock that is to be noticed, or was."""

    case_id: UUID
    clock: str
    round: int
    noticed: str
    due_at: datetime


class StoredPolicy(NamedTuple):
    """`calendar` is None for 24 hours on each day."""

    policy: Policy
    calendar: str | None


class Terms(NamedTuple):
    """All policies by what they are for, and all calendars by name."""

    policies: Mapping[Subject, StoredPolicy]
    calendars: Mapping[str, Calendar]

    def policy(self, of: Subject) -> StoredPolicy:
        """Return the policy of the contract and segment, of the contract, of the segment, or else of all customers."""
        for each in (of, of._replace(segment=""), of._replace(contract=""), of._replace(segment="", contract="")):
            if (found := self.policies.get(each)) is not None:
                return found
        return StoredPolicy(DEFAULTS[of.severity], None)

    def fold(self, of: Subject, history: Sequence[Step], now: datetime | None = None) -> list[Clock]:
        """Return the clocks of a case with this history. `now` ends what has elapsed of a running clock."""
        found = self.policy(of)
        calendar = None if found.calendar is None else self.calendars[found.calendar]
        return clocks(history, found.policy, openings_of(calendar, history[0].at.year), now)


def subject_of(row: Mapping[str, Any] | asyncpg.Record) -> Subject:
    return Subject(row["kind"], row["severity"], row["segment"], row["contract"])


async def terms(sql: asyncpg.Connection) -> Terms:
    return _terms(*await sql.fetchrow(TERMS))


@lru_cache(maxsize=8)
def _terms(policies: str | None, calendars: str | None) -> Terms:
    """Return what is stored as JSON. It seldom changes, and each case asks for it."""
    stored = {}
    for row in json.loads(policies or "[]"):
        policy = Policy(row["first_answer"], row["resolution"], row["next_answer"], tuple(row["steps"]))
        stored[subject_of(row)] = StoredPolicy(policy, row["calendar"])
    by_name = {}
    for row in json.loads(calendars or "[]"):
        special = tuple(
            SpecialDay(date.fromisoformat(day), tuple((begins, ends) for begins, ends in own))
            for day, own in row["special"]
        )
        openings = tuple(Opening(*each) for each in row["openings"])
        by_name[row["name"]] = Calendar(row["zone"], openings, row["holidays"], special)
    return Terms(stored, by_name)


async def hold_terms(unit: Unit) -> None:
    """Keep policies and calendars as they are until this unit ends.

    The job that times active cases anew after a change does not see a case that is not committed. So a case is opened
    before the change, and then that job sees it, or after it.
    """
    await unit.sql.execute(HOLD_TERMS)


async def histories(sql: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, list[Step]]:
    """Return the histories of cases, each in its order."""
    found: dict[UUID, list[Step]] = {}
    for row in await sql.fetch(HISTORY, ids):
        found.setdefault(row["case_id"], []).append(Step(row["at"], row["did"], row["status"], row["waiting_for"]))
    return found


async def keep_policy(unit: Unit, of: Subject, stored: StoredPolicy) -> None:
    first, resolution, later, steps = stored.policy
    await unit.sql.execute(KEEP_POLICY, *of, first, resolution, later, list(steps), stored.calendar)


async def keep_calendar(unit: Unit, name: str, calendar: Calendar) -> None:
    openings, special = (to_json(list(each)).decode() for each in (calendar.openings, calendar.special))
    await unit.sql.execute(KEEP_CALENDAR, name, calendar.zone, openings, calendar.holidays, special)


async def keep_terms(unit: Unit, customer_id: UUID, segment: str, contract: str) -> bool:
    """Store the terms of a customer. Return whether they changed."""
    return bool(await unit.sql.fetchval(KEEP_TERMS, customer_id, segment, contract))


def moments(case_id: UUID, folded: Sequence[Clock]) -> list[Moment]:
    """Return the moments of the running clocks of a case."""
    return [Moment(case_id, clock.name, clock.round, noticed, at) for clock in folded for noticed, at in clock.moments]


async def set_timers(unit: Unit, folded: Mapping[UUID, Sequence[Clock]]) -> None:
    """Replace the timers of locked cases: one for each moment of a running clock that was not noticed before.

    A moment in the past is due now, so that the look at timers may begin at its low-water mark.
    """
    await unit.sql.execute("DELETE FROM case_timers WHERE case_id = ANY ($1::uuid[])", sorted(folded))
    await add_timers(unit, folded)


async def add_timers(unit: Unit, folded: Mapping[UUID, Sequence[Clock]]) -> None:
    if timers := [moment for id, clocks in folded.items() for moment in moments(id, clocks)]:
        await unit.sql.execute(SET, *columns(timers), unit.now)


async def mark(unit: Unit, come: Sequence[Moment]) -> set[tuple[UUID, str, str]]:
    """Note moments that have come. Return case, clock and moment of those for which this is new."""
    return {tuple(row) for row in await unit.sql.fetch(MARK, *columns(come), unit.now)} if come else set()
