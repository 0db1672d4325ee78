"""Set the timers of cases, and notice which have come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from crm_service.cases import store
from crm_service.cases.model import Case, Did
from crm_service.cases.store import Entry
from crm_service.clocks import store as clocks
from crm_service.clocks.model import BREACH, RISK, STEP, Clock, Step
from crm_service.clocks.store import Moment, Subject
from crossdock_chassis import JobRun, Unit, queued
from crossdock_events.cases import SlaAtRisk, SlaBreached

CHUNK: Final = 500
MARGIN: Final = timedelta(minutes=10)
"""No unit takes so long. So no timer that is stored later can be due earlier than this before now."""

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

DUE: Final = """
    SELECT case_id FROM case_timers WHERE due_at <= $1 AND due_at > $2 ORDER BY due_at LIMIT $3
"""
ACTIVE: Final = """
    SELECT id FROM cases WHERE id > $1 AND status NOT IN ('resolved', 'closed', 'merged') ORDER BY id LIMIT $2
"""
ACTIVE_OF: Final = """
    SELECT cases.id FROM cases JOIN customers ON customers.id = customer_id
    WHERE customers.root = $3 AND cases.id > $1 AND status NOT IN ('resolved', 'closed', 'merged')
    ORDER BY cases.id LIMIT $2
"""
SET_TERMS: Final = """
    UPDATE cases SET segment = terms.segment, contract = terms.contract
    FROM customer_terms AS terms WHERE cases.id = ANY ($1::uuid[]) AND terms.customer_id = $2
"""
ADVANCE: Final = """
    UPDATE cases SET version = new.version FROM unnest($1::uuid[], $2::bigint[]) AS new (id, version)
    WHERE cases.id = new.id
"""
FIRST: Final = UUID(int=0)


def subject_of(case: Case) -> Subject:
    return Subject(case.kind, case.severity, case.segment, case.contract)


async def time_new(unit: Unit, cases: Sequence[Case]) -> None:
    """Set the timers of cases that were opened in this unit. They are those of `time_cases`."""
    await clocks.hold_terms(unit)
    terms = await clocks.terms(unit.sql)
    opened = [(case, Step(unit.now, Did.OPENED, case.status, None)) for case in cases]
    await clocks.add_timers(unit, {case.id: terms.fold(subject_of(case), [step]) for case, step in opened})


async def time_case(unit: Unit, case: Case) -> None:
    """Set the timers of a locked case after its history has changed."""
    await time_cases(unit, [case])


async def time_cases(unit: Unit, cases: Sequence[Case]) -> dict[UUID, list[Clock]]:
    """Set the timers of locked cases, and return their clocks."""
    terms, histories = await clocks.terms(unit.sql), await clocks.histories(unit.sql, [each.id for each in cases])
    folded = {each.id: terms.fold(subject_of(each), histories[each.id]) for each in cases}
    await clocks.set_timers(unit, folded)
    return folded


@dataclass(slots=True)
class Timers:
    """The look at timers. Deleted rows before `mark` are not read again, however long old snapshots keep them."""

    mark: datetime = LONG_AGO

    async def notice_timers(self, run: JobRun) -> Mapping[str, object]:
        """Publish `SlaAtRisk` and `SlaBreached` for each clock whose time has come, and escalate, once each.

        A timer only names the case. Whether its time has come is decided anew under the lock of the case.
        """
        noticed = 0
        while True:
            async with run.unit() as unit:
                since = min(self.mark, unit.now - MARGIN)
                due = sorted({row["case_id"] for row in await unit.sql.fetch(DUE, unit.now, since, CHUNK)})
                if not due:
                    self.mark = unit.now - MARGIN
                    return {"noticed": noticed}
                noticed += await _notice(unit, due)


async def _notice(unit: Unit, ids: Sequence[UUID]) -> int:
    cases = {each.id: each for each in await store.lock_many(unit, ids)}
    terms, histories = await clocks.terms(unit.sql), await clocks.histories(unit.sql, ids)
    folded = {id: terms.fold(subject_of(case), histories[id]) for id, case in cases.items()}
    come = [each for id, own in folded.items() for each in clocks.moments(id, own) if each.due_at <= unit.now]
    new = await clocks.mark(unit, come)
    breached = {(each.case_id, each.clock) for each in come if each.noticed == BREACH}
    count, said = 0, []
    for each in come:
        if (each.case_id, each.clock, each.noticed) not in new:
            continue
        case = cases[each.case_id]
        if each.noticed.startswith(STEP):
            count += await _escalate(unit, case, int(each.noticed.removeprefix(STEP)))
        elif each.noticed != RISK or (each.case_id, each.clock) not in breached:
            # Of a clock that has run out unseen, the breach alone is published.
            _publish(unit, case, each)
            said.append(case)
            count += 1
    if said:
        unsaved = {each.id: each.version for each in said}
        await unit.sql.execute(ADVANCE, list(unsaved), list(unsaved.values()))
    await clocks.set_timers(unit, folded)
    return count


def _publish(unit: Unit, case: Case, moment: Moment) -> None:
    event = SlaAtRisk if moment.noticed == RISK else SlaBreached
    case.version += 1
    unit.publish(
        event(
            case_id=case.id,
            customer_id=case.customer_id,
            partner=case.partner,
            clock=moment.clock,
            due_at=moment.due_at,
            noticed_at=unit.now,
        ),
        sequence=case.version,
        cause=None,
    )


async def _escalate(unit: Unit, case: Case, level: int) -> bool:
    """Escalate the case to a level, unless staff have done so before."""
    if case.level >= level:
        return False
    events = case.escalate(by_clock=True)
    await store.record(unit, case, Entry(Did.ESCALATED, "system"), events, None)
    return True


async def retime_cases(run: JobRun) -> Mapping[str, object]:
    """Set the timers of all active cases, because a policy or a calendar has changed.

    If the arguments name a customer, its terms have changed: its cases take them over.
    """
    customer = UUID(run.arguments["customer"]) if "customer" in run.arguments else None
    while True:
        async with run.unit() as unit:
            after = UUID(run.state["after"]) if "after" in run.state else FIRST
            query, *more = (ACTIVE,) if customer is None else (ACTIVE_OF, customer)
            ids = [row["id"] for row in await unit.sql.fetch(query, after, CHUNK, *more)]
            if not ids:
                return {"retimed": run.done}
            if customer is not None:
                await store.lock_many(unit, ids)
                await unit.sql.execute(SET_TERMS, ids, customer)
            await time_cases(unit, await store.lock_many(unit, ids))
            run.done, run.state = run.done + len(ids), {"after": str(ids[-1])}


RETIME: Final = queued("retime-cases", retime_cases)
