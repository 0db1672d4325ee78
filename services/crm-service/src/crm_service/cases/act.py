"""Act on a case: each verb locks it, asks the state machine, and records an entry."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel

from crm_service.cases import store
from crm_service.cases.model import Case, Did
from crm_service.cases.open import begin
from crm_service.cases.store import Entry, NewCase
from crm_service.cases.timing import time_case
from crm_service.post.compose import Post
from crossdock_chassis import Actor, Unit, new_id, record_action
from crossdock_events import Cause
from crossdock_events.cases import CaseEvent


class Expected(Protocol):
    def check(self, version: int) -> None:
        """Raise an error if the caller expects another version."""


@dataclass(frozen=True, slots=True)
class Act:
    """`change` asks the state machine. `partner` is None for staff. Their actions are audited by ids and codes."""

    case_id: UUID
    partner: str | None
    did: Did
    change: Callable[[Case, Unit], list[CaseEvent]]
    body: str | None
    by: Actor
    expected: Expected
    cause: Cause


class Acted(BaseModel):
    case_id: UUID


@dataclass(frozen=True, slots=True)
class Acting:
    """A reply within `reopens` reopens a resolved case. A later one begins a case that follows it."""

    post: Post
    reopens: timedelta

    async def act_on_case(self, unit: Unit, command: Act) -> Acted:
        """Change the case, and mail an answer. Raise NoSuchCase, NotPossible, CustomerErased, or the error of
        `expected.check`."""
        side = "partner" if command.partner else "staff"
        if command.did is Did.REPLIED:
            case = await store.lock_taker(unit, command.case_id, command.partner, self.reopens)
            if not case.takes_replies(unit.now, self.reopens):
                return await _follow(unit, command, case, side)
        else:
            if command.did is Did.REOPENED:
                await store.hold_customer(unit, command.case_id, command.partner)
            case = await store.lock(unit, command.case_id, command.partner)
        if case.id == command.case_id:
            command.expected.check(case.entries)
        was = {"status": case.status}
        events, mail_id = command.change(case, unit), None
        if command.did is Did.ANSWERED and command.body is not None:
            mail_id = await self.post.answer(unit, case.id, case.customer_id, command.body)
        entry = Entry(command.did, side, command.by.who, command.body, mail_id)
        await store.record(unit, case, entry, events, command.cause)
        await time_case(unit, case)
        if command.partner is None:
            target, after = f"/v1/cases/{case.id}", {"status": case.status}
            await record_action(unit, command.by, f"case:{command.did}", target, before=was, after=after)
        return Acted(case_id=case.id)


async def _follow(unit: Unit, command: Act, case: Case, side: str) -> Acted:
    """Begin the case that follows one which takes no replies any more."""
    new = Case(new_id(), case.kind, case.customer_id, case.partner, case.severity)
    category, channel, subject = await store.origin(unit, case.id)
    entry = Entry(Did.OPENED, side, command.by.who, command.body)
    await begin(unit, NewCase(new, category, subject, channel, follows=case.id), entry, [], command.cause)
    return Acted(case_id=new.id)
