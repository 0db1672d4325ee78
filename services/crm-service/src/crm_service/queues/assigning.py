"""Assign cases of queues, oldest first, and take them from agents who have left."""

from collections.abc import Mapping
from typing import Final

from crm_service.cases import store as cases
from crm_service.cases.model import ACTIVE, Did
from crm_service.cases.store import Entry
from crm_service.clocks import store as clocks
from crm_service.queues import store
from crm_service.queues.model import Agent, assign
from crossdock_chassis import JobRun, Unit

CHUNK: Final = 200
SYSTEM: Final = "system"


async def assign_cases(run: JobRun) -> Mapping[str, object]:
    """Release the cases of agents who are absent or whose shift is over, then assign what waits.

    A case is decided anew under its lock.
    """
    released = assigned = 0
    while True:
        async with run.unit() as unit:
            count = await _release(unit)
        released += count
        if count < CHUNK:
            break
    while True:
        async with run.unit() as unit:
            count = await _assign(unit)
        assigned += count
        if count == 0:
            return {"released": released, "assigned": assigned}


async def _release(unit: Unit) -> int:
    absent = {each.who for each in await _agents(unit) if not each.available}
    found = await store.left(unit, absent, CHUNK) if absent else []
    for case in await cases.lock_many(unit, found):
        if case.assignee in absent and case.status in ACTIVE:
            events = case.release()
            await cases.record(unit, case, Entry(Did.RELEASED, SYSTEM), events, None)
    return len(found)


async def _agents(unit: Unit) -> list[Agent]:
    stored = await store.agents(unit.sql)
    calendars = (await clocks.terms(unit.sql)).calendars if any(each.calendar for each in stored) else {}
    return [each.at(unit.now, calendars) for each in stored]


async def _assign(unit: Unit) -> int:
    free = [each for each in await _agents(unit) if each.available and each.load < each.capacity]
    if not free:
        return 0
    room = min(CHUNK, sum(each.capacity - each.load for each in free))
    chosen = dict(assign(await store.waiting(unit, {skill for each in free for skill in each.skills}, room), free))
    count = 0
    for case in await cases.lock_many(unit, sorted(chosen)):
        if case.assignee is None and case.status in ACTIVE:
            events, who = case.assign(chosen[case.id]), chosen[case.id]
            await cases.record(unit, case, Entry(Did.ASSIGNED, SYSTEM, None, who), events, None)
            count += 1
    return count
