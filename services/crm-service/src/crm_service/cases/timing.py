"""Set the timers of cases, and notice which have come."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from crm_service.cases.model import Case
from crm_service.clocks import store as clocks
from crm_service.clocks.model import Clock
from crm_service.clocks.store import BREACH, RISK, Terms
from crossdock_chassis import JobRun, Unit, queued
from crossdock_events.cases import SlaAtRisk, SlaBreached

CHUNK: Final = 100

DUE: Final = """
    SELECT case_id FROM case_timers WHERE due_at <= $1 ORDER BY due_at LIMIT $2
"""
LOCK: Final = """
    SELECT id, kind, severity, customer_id, partner, version FROM cases WHERE id = ANY ($1::uuid[])
    ORDER BY id FOR UPDATE
"""
ACTIVE: Final = """
    SELECT id FROM cases WHERE id > $1 AND status NOT IN ('resolved', 'closed') ORDER BY id LIMIT $2
"""
FIRST: Final = UUID(int=0)


async def time_case(unit: Unit, case: Case) -> None:
    """Set the timers of a locked case after its history has changed."""
    history = (await clocks.histories(unit.sql, [case.id]))[case.id]
    await clocks.set_timers(unit, case.id, (await clocks.terms(unit.sql)).fold(case.kind, case.severity, history))


async def notice_timers(run: JobRun) -> Mapping[str, object]:
    """Publish `SlaAtRisk` and `SlaBreached` for each clock whose time has come, once.

    A timer only names the case. Whether its time has come is decided anew under the lock of the case.
    """
    noticed = 0
    while True:
        async with run.unit() as unit:
            due = sorted({row["case_id"] for row in await unit.sql.fetch(DUE, unit.now, CHUNK)})
            if not due:
                return {"noticed": noticed}
            noticed += await _notice(unit, due)


async def _notice(unit: Unit, ids: list[UUID]) -> int:
    rows = await unit.sql.fetch(LOCK, ids)
    terms, histories = await clocks.terms(unit.sql), await clocks.histories(unit.sql, ids)
    count = 0
    for row in rows:
        folded, version = terms.fold(row["kind"], row["severity"], histories[row["id"]]), row["version"]
        for clock in folded:
            for kind, at, event in (
                (BREACH, clock.due_at, SlaBreached),
                (RISK, clock.risk_at, SlaAtRisk),
            ):
                if at is None or at > unit.now or not await clocks.mark(unit, row["id"], clock.name, kind, at):
                    continue
                if event is SlaAtRisk and _is_over(clock, unit.now):
                    continue  # it has run out meanwhile, and its breach is published alone
                version, count = version + 1, count + 1
                unit.publish(
                    event(
                        case_id=row["id"],
                        customer_id=row["customer_id"],
                        partner=row["partner"],
                        clock=clock.name,
                        due_at=clock.due_at or at,
                        noticed_at=unit.now,
                    ),
                    sequence=version,
                    cause=None,
                )
        if version != row["version"]:
            await unit.sql.execute("UPDATE cases SET version = $2 WHERE id = $1", row["id"], version)
        await clocks.set_timers(unit, row["id"], folded)
    return count


def _is_over(clock: Clock, now: datetime) -> bool:
    return clock.due_at is not None and clock.due_at <= now


async def retime_cases(run: JobRun) -> Mapping[str, object]:
    """Set the timers of all active cases, because a policy or a calendar has changed."""
    while True:
        async with run.unit() as unit:
            after = UUID(run.state["after"]) if "after" in run.state else FIRST
            ids = [row["id"] for row in await unit.sql.fetch(ACTIVE, after, CHUNK)]
            if not ids:
                return {"retimed": run.done}
            await _retime(unit, await clocks.terms(unit.sql), ids)
            run.done, run.state = run.done + len(ids), {"after": str(ids[-1])}


async def _retime(unit: Unit, terms: Terms, ids: list[UUID]) -> None:
    histories = await clocks.histories(unit.sql, ids)
    for row in await unit.sql.fetch(LOCK, ids):
        await clocks.set_timers(unit, row["id"], terms.fold(row["kind"], row["severity"], histories[row["id"]]))


RETIME: Final = queued("retime-cases", retime_cases)
