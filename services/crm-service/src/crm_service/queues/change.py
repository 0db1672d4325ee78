"""Change queues and agents."""

from dataclasses import dataclass

from pydantic import BaseModel

from crm_service.clocks import store as clocks
from crm_service.queues import store
from crm_service.queues.store import Queue, StoredAgent
from crm_service.sla.change import NoSuchCalendar
from crossdock_chassis import Actor, Unit, record_action


class NoSuchQueue(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Change:
    """A queue or an agent to store, or the name of a queue to delete."""

    what: Queue | StoredAgent | str
    by: Actor


class Changed(BaseModel):
    changed: bool


async def change_queues(unit: Unit, command: Change) -> Changed:
    """Raise NoSuchQueue if it is to be deleted, and NoSuchCalendar for the shifts of an agent."""
    what = command.what
    if isinstance(what, Queue):
        await store.keep_queue(unit, what)
        target, action = f"/v1/queues/{what.name}", "queue:set"
    elif isinstance(what, StoredAgent):
        if what.calendar is not None and what.calendar not in (await clocks.terms(unit.sql)).calendars:
            raise NoSuchCalendar(what.calendar)
        await store.keep_agent(unit, what)
        target, action = f"/v1/agents/{what.who}", "agent:set"
    else:
        if not await store.forget_queue(unit, what):
            raise NoSuchQueue(f"There is no queue {what}")
        target, action = f"/v1/queues/{what}", "queue:delete"
    await record_action(unit, command.by, action, target)
    return Changed(changed=True)
