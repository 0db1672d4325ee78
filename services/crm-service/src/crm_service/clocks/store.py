"""Read and write policies, calendars and timers."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import to_json

from crm_service.clocks.model import DEFAULTS, Calendar, Clock, Opening, Policy, Step, clocks, openings_of
from crossdock_chassis import Unit, columns

POLICIES: Final = """
    SELECT kind, severity, first_answer, resolution, calendar FROM sla_policies ORDER BY kind, severity
"""
CALENDARS: Final = "SELECT name, zone, openings::text, holidays FROM sla_calendars ORDER BY name"
KEEP_POLICY: Final = """
    INSERT INTO sla_policies (kind, severity, first_answer, resolution, calendar) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (kind, severity) DO UPDATE SET first_answer = excluded.first_answer, resolution = excluded.resolution,
        calendar = excluded.calendar
"""
KEEP_CALENDAR: Final = """
    INSERT INTO sla_calendars (name, zone, openings, holidays) VALUES ($1, $2, $3::jsonb, $4)
    ON CONFLICT (name) DO UPDATE SET zone = excluded.zone, openings = excluded.openings, holidays = excluded.holidays
"""
HISTORY: Final = """
    SELECT case_id, at, did, status, waiting_for FROM case_entries WHERE case_id = ANY ($1::uuid[])
    ORDER BY case_id, number
"""
SET: Final = """
    INSERT INTO case_timers (case_id, clock, noticed, due_at)
    SELECT new.* FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
         AS new (case_id, clock, noticed, due_at)
    WHERE NOT EXISTS (SELECT FROM sla_marks WHERE (case_id, clock, noticed) = (new.case_id, new.clock, new.noticed))
"""
MARK: Final = """
    INSERT INTO sla_marks (case_id, clock, noticed, due_at, noticed_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING true
"""
RISK: Final = "risk"
BREACH: Final = "breach"


class StoredPolicy(NamedTuple):
    """`calendar` is None for 24 hours on each day."""

    policy: Policy
    calendar: str | None


class Terms(NamedTuple):
    """All policies by kind and severity, and all calendars by name."""

    policies: Mapping[tuple[str, str], StoredPolicy]
    calendars: Mapping[str, Calendar]

    def fold(self, kind: str, severity: str, history: Sequence[Step], now: datetime | None = None) -> list[Clock]:
        """Return the clocks of a case with this history. `now` ends what has elapsed of a running clock."""
        found = self.policies.get((kind, severity)) or StoredPolicy(DEFAULTS[severity], None)
        calendar = None if found.calendar is None else self.calendars[found.calendar]
        return clocks(history, found.policy, openings_of(calendar, history[0].at.year), now)


async def terms(sql: asyncpg.Connection) -> Terms:
    policies = {
        (row["kind"], row["severity"]): StoredPolicy(Policy(row["first_answer"], row["resolution"]), row["calendar"])
        for row in await sql.fetch(POLICIES)
    }
    calendars = {
        row["name"]: Calendar(
            row["zone"], tuple(Opening(*each) for each in json.loads(row["openings"])), row["holidays"]
        )
        for row in await sql.fetch(CALENDARS)
    }
    return Terms(policies, calendars)


async def histories(sql: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, list[Step]]:
    """Return the histories of cases, each in its order."""
    found: dict[UUID, list[Step]] = {}
    for row in await sql.fetch(HISTORY, ids):
        found.setdefault(row["case_id"], []).append(Step(row["at"], row["did"], row["status"], row["waiting_for"]))
    return found


async def keep_policy(unit: Unit, kind: str, severity: str, stored: StoredPolicy) -> None:
    await unit.sql.execute(KEEP_POLICY, kind, severity, *stored.policy, stored.calendar)


async def keep_calendar(unit: Unit, name: str, calendar: Calendar) -> None:
    openings = to_json([list(each) for each in calendar.openings]).decode()
    await unit.sql.execute(KEEP_CALENDAR, name, calendar.zone, openings, calendar.holidays)


async def set_timers(unit: Unit, case_id: UUID, folded: Sequence[Clock]) -> None:
    """Replace the timers of a locked case: one for each moment of a running clock that was not noticed before."""
    await unit.sql.execute("DELETE FROM case_timers WHERE case_id = $1", case_id)
    timers = [
        (case_id, clock.name, noticed, at)
        for clock in folded
        for noticed, at in ((RISK, clock.risk_at), (BREACH, clock.due_at))
        if at is not None
    ]
    if timers:
        await unit.sql.execute(SET, *columns(timers))


async def mark(unit: Unit, case_id: UUID, clock: str, noticed: str, due_at: datetime) -> bool:
    """Note that a moment of a clock has come. Return whether this is new."""
    return bool(await unit.sql.fetchval(MARK, case_id, clock, noticed, due_at, unit.now))
