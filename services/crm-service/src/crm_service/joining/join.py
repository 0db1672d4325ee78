"""Merge, split and group cases, and ask for a return: verbs that concern more than one case or an order."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from crm_service.cases import store
from crm_service.cases.act import Expected
from crm_service.cases.model import Case, Did, NoSuchCase, WrongReference
from crm_service.cases.open import Concern, begin, tied
from crm_service.cases.store import Entry, NewCase
from crm_service.cases.timing import time_cases
from crm_service.orders import look
from crossdock_chassis import Actor, Unit, new_id, record_action
from crossdock_events import Cause

STAFF = "staff"


@dataclass(frozen=True, slots=True)
class On:
    """The case that staff act on."""

    case_id: UUID
    by: Actor
    expected: Expected
    cause: Cause


@dataclass(frozen=True, slots=True)
class Merge:
    on: On
    into: UUID


@dataclass(frozen=True, slots=True)
class Split:
    """What `concerns` names is tied to the new case. It stays tied to the first case, too."""

    on: On
    subject: str
    text: str
    concerns: tuple[Concern, ...]


@dataclass(frozen=True, slots=True)
class Group:
    on: On
    parent: UUID | None


@dataclass(frozen=True, slots=True)
class AskReturn:
    on: On
    order_id: UUID
    parts: tuple[tuple[str, int], ...]
    reason: str
    wish: str


class Joined(BaseModel):
    case_id: UUID


async def join_cases(unit: Unit, command: Merge | Split | Group | AskReturn) -> Joined:
    """Raise NoSuchCase, NotPossible, CannotMerge, WrongReference, or the error of `expected.check`."""
    on = command.on
    if isinstance(command, Merge):
        found = await _merge(unit, command)
    elif isinstance(command, Group):
        found = await _group(unit, command)
    else:
        case = await store.lock(unit, on.case_id, None)
        on.expected.check(case.entries)
        found = await (_split(unit, command, case) if isinstance(command, Split) else _ask(unit, command, case))
    verb = type(command).__name__.lower()
    await record_action(unit, on.by, f"case:{verb}", f"/v1/cases/{on.case_id}", after={"case_id": found.id})
    return Joined(case_id=found.id)


async def _two(unit: Unit, on: On, other: UUID, pointer: str) -> tuple[Case, Case]:
    """Lock two cases in the order of their ids, so that both ways at once do not wait for each other."""
    cases = {each.id: each for each in await store.lock_many(unit, [on.case_id, other])}
    if on.case_id not in cases:
        raise NoSuchCase(f"None of your cases has the id {on.case_id}")
    if other not in cases:
        raise WrongReference(pointer, "no case has this id")
    on.expected.check(cases[on.case_id].entries)
    return cases[on.case_id], cases[other]


async def _owner(unit: Unit, case: Case) -> UUID:
    """Return the customer of a case, or the one into which it was merged since."""
    root: UUID = await unit.sql.fetchval("SELECT root FROM customers WHERE id = $1", case.customer_id)
    return root


async def _merge(unit: Unit, command: Merge) -> Case:
    case, into = await _two(unit, command.on, command.into, "/into")
    owners = await _owner(unit, case), await _owner(unit, into)
    events, who = case.merge(into, same_customer=owners[0] == owners[1]), command.on.by.who
    await store.record(unit, case, Entry(Did.MERGED, STAFF, who, str(into.id)), events, command.on.cause)
    ties = await store.move_ties(unit, case, into)
    told = [*into.keep(Did.TOOK_OVER), *(event for tie in ties for event in into.tied(tie))]
    await store.record(unit, into, Entry(Did.TOOK_OVER, STAFF, who, str(case.id)), told, command.on.cause)
    await time_cases(unit, [case, into])
    return into


async def _group(unit: Unit, command: Group) -> Case:
    if command.parent is None:
        case = await store.lock(unit, command.on.case_id, None)
        command.on.expected.check(case.entries)
    else:
        case, parent = await _two(unit, command.on, command.parent, "/parent")
        if parent.id == case.id or parent.parent is not None:
            raise WrongReference("/parent", "a case that has a parent, or this one itself, can be no parent")
        if await store.has_children(unit, case.id):
            raise WrongReference("/parent", "this case is a parent itself")
    events = case.keep(Did.GROUPED)
    case.parent = command.parent
    entry = Entry(Did.GROUPED, STAFF, command.on.by.who, None if command.parent is None else str(command.parent))
    await store.record(unit, case, entry, events, command.on.cause)
    return case


async def _split(unit: Unit, command: Split, case: Case) -> Case:
    """Begin a case of the same kind, customer and partner."""
    ties, owner = {}, await _owner(unit, case)
    orders = await look.orders(unit, {each.order_id for each in command.concerns})
    for number, each in enumerate(command.concerns):
        tie, _ = tied(each, orders, case.partner, owner, f"/concerns/{number}")
        ties[tie.order_id, tie.line_id] = tie
    who, cause = command.on.by.who, command.on.cause
    new = Case(new_id(), case.kind, owner, case.partner, case.severity)
    category, channel, _ = await store.origin(unit, case.id)
    entry = Entry(Did.OPENED, STAFF, who, command.text)
    whole = NewCase(new, category, command.subject, channel, split_from=case.id)
    await begin(unit, whole, entry, list(ties.values()), cause)
    events = case.keep(Did.SPLIT)
    await store.record(unit, case, Entry(Did.SPLIT, STAFF, who, str(new.id)), events, cause)
    return new


async def _ask(unit: Unit, command: AskReturn, case: Case) -> Case:
    parts, owner, orders = [], await _owner(unit, case), await look.orders(unit, [command.order_id])
    for number, (line_id, quantity) in enumerate(command.parts):
        one = Concern(order_id=command.order_id, line_id=line_id, quantity=quantity)
        tied(one, orders, case.partner, owner, f"/parts/{number}" if number else "")
        parts.append({"line_id": line_id, "quantity": quantity})
    events = case.ask_return(command.order_id, parts, command.reason, command.wish)
    entry = Entry(Did.RETURN_ASKED, STAFF, command.on.by.who, f"{command.wish}: {command.reason}")
    await store.record(unit, case, entry, events, command.on.cause)
    return case
