"""Change a policy or a calendar. Active cases are then timed anew, and keep the time that has passed."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from crm_service.cases.timing import RETIME
from crm_service.clocks import store
from crm_service.clocks.model import Calendar, openings_of
from crm_service.clocks.store import StoredPolicy, Subject
from crm_service.customers import store as customers
from crossdock_chassis import Actor, Unit, record_action


class NoSuchCalendar(Exception):
    def __init__(self, name: str) -> None:
        detail = f"there is no calendar {name}"
        super().__init__(detail)
        self.errors = [{"pointer": "/calendar", "detail": detail, "code": "unknown"}]


@dataclass(frozen=True, slots=True)
class SetPolicy:
    of: Subject
    stored: StoredPolicy
    by: Actor


@dataclass(frozen=True, slots=True)
class SetCalendar:
    name: str
    calendar: Calendar
    by: Actor


@dataclass(frozen=True, slots=True)
class SetTerms:
    customer_id: UUID
    segment: str
    contract: str
    by: Actor


class Changed(BaseModel):
    changed: bool


async def set_customer_terms(unit: Unit, command: SetTerms) -> Changed:
    """Store the segment and contract of a customer. Its active cases take them over. Raise NoSuchCustomer."""
    id = command.customer_id
    await customers.lock(unit, id)
    changed = await store.keep_terms(unit, id, command.segment, command.contract)
    if changed:
        await RETIME.request(unit, {"customer": str(id)}, by=command.by.who)
        await record_action(unit, command.by, "sla:terms", f"/v1/customers/{id}")
    return Changed(changed=changed)


async def set_terms(unit: Unit, command: SetPolicy | SetCalendar) -> Changed:
    """Store it, and ask for new timers if it is another one. Raise NoSuchCalendar, NoOpenings."""
    await unit.sql.execute("LOCK TABLE sla_policies, sla_calendars IN SHARE ROW EXCLUSIVE MODE")
    known = await store.terms(unit.sql)
    if isinstance(command, SetPolicy):
        calendar, of = command.stored.calendar, command.of
        if calendar is not None and calendar not in known.calendars:
            raise NoSuchCalendar(calendar)
        changed = known.policies.get(of) != command.stored
        await store.keep_policy(unit, of, command.stored)
        target = f"/v1/sla/policies/{of.kind}/{of.severity}"
    else:
        openings_of(command.calendar, unit.now.year)
        changed = known.calendars.get(command.name) != command.calendar
        await store.keep_calendar(unit, command.name, command.calendar)
        target = f"/v1/sla/calendars/{command.name}"
    if changed:
        await RETIME.request(unit, {}, by=command.by.who)
        await record_action(unit, command.by, "sla:change", target)
    return Changed(changed=changed)
