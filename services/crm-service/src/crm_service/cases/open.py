"""Open a case for a customer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_service.cases import store
from crm_service.cases.model import Case, Did, Kind, Tie, WrongReference
from crm_service.cases.store import Beginning, Entry, NewCase
from crm_service.cases.timing import time_new
from crm_service.conventions import Id, Quantity
from crm_service.customers import store as customers
from crm_service.orders import look
from crm_service.orders.look import KnownOrder
from crossdock_chassis import Actor, Unit, new_id, record_action
from crossdock_events import Cause

Orders: TypeAlias = Mapping[UUID, KnownOrder]
Severity = Literal["low", "normal", "high", "critical"]
Text = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]+$")]


class Concern(BaseModel):
    """An order, or a line of it, that a case concerns."""

    model_config = ConfigDict(extra="forbid", strict=True)

    order_id: Annotated[UUID, Field(strict=False)]
    line_id: Id | None = None
    quantity: Quantity | None = None


class CaseDraft(BaseModel):
    """A new case. `order_id` names its customer; without an order name the customer."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "kind": "enquiry",
                    "subject": "Does it fit?",
                    "text": "Does the filter fit the large pump?",
                    "customer_id": "019c0000-0000-7000-8000-000000000001",
                }
            ]
        },
    )

    kind: Annotated[Kind, Field(strict=False)]
    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Text
    severity: Severity = "normal"
    category: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")] | None = None
    channel: Literal["api", "phone", "web"] = "api"
    customer_id: Annotated[UUID | None, Field(strict=False)] = None
    order_id: Annotated[UUID | None, Field(strict=False)] = None
    line_id: Id | None = None
    quantity: Quantity | None = None
    also: Annotated[list[Concern], Field(max_length=100, description="More orders or lines of the same customer")] = []


@dataclass(frozen=True, slots=True)
class OpenCase:
    """`partner` is None for staff."""

    draft: CaseDraft
    partner: str | None
    by: Actor
    cause: Cause


class Opened(BaseModel):
    case_id: UUID


async def open_cases(unit: Unit, batch: Sequence[OpenCase]) -> list[Opened | Exception]:
    """Open each case, tied to its order. Return WrongReference if the partner knows no such customer, order or line."""
    drafts = [each.draft for each in batch]
    orders = await look.orders(unit, {id for draft in drafts for id in _orders_of(draft)})
    asked = {(each.partner, each.draft.customer_id) for each in batch if each.draft.order_id is None}
    known = await look.known(unit, {(partner, id) for partner, id in asked if id is not None})
    found: list[Beginning | WrongReference] = []
    for command in batch:
        try:
            found.append(_beginning(command, orders, known))
        except WrongReference as error:
            found.append(error)
    there = await customers.hold(unit, [each.new.case.customer_id for each in found if isinstance(each, Beginning)])
    gone = WrongReference("/customer_id", "the customer was erased")
    found = [each if isinstance(each, WrongReference) or each.new.case.customer_id in there else gone for each in found]
    await begin_all(unit, [each for each in found if isinstance(each, Beginning)])
    opened: list[Opened | Exception] = []
    for command, each in zip(batch, found, strict=True):
        if isinstance(each, WrongReference):
            opened.append(each)
            continue
        case = each.new.case
        opened.append(Opened(case_id=case.id))
        if command.partner is None:
            after: dict[str, Any] = {"kind": case.kind, "customer_id": case.customer_id}
            await record_action(unit, command.by, "case:open", f"/v1/cases/{case.id}", after=after)
    return opened


def _orders_of(draft: CaseDraft) -> list[UUID]:
    return [] if draft.order_id is None else [draft.order_id, *(each.order_id for each in draft.also)]


def _beginning(command: OpenCase, orders: Orders, known: Collection[tuple[str | None, UUID]]) -> Beginning:
    draft = command.draft
    ties, customer_id, partner = _concerns(draft, command.partner, orders, known)
    case = Case(new_id(), draft.kind, customer_id, partner, draft.severity)
    side = "partner" if command.partner else "staff"
    entry = Entry(Did.OPENED, side, command.by.who, draft.text)
    return Beginning(NewCase(case, draft.category, draft.subject, draft.channel), entry, ties, command.cause)


async def begin(unit: Unit, new: NewCase, entry: Entry, ties: Sequence[Tie], cause: Cause | None) -> None:
    """Store a new case with its first entry and what it concerns, and publish all of it in this unit.

    Raise CustomerErased.
    """
    await customers.hold_one(unit, new.case.customer_id)
    await begin_all(unit, [Beginning(new, entry, ties, cause)])


async def begin_all(unit: Unit, beginnings: Sequence[Beginning]) -> None:
    """Begin many cases with the same few statements. Their customers are held (`customers.hold`)."""
    if not beginnings:
        return
    for each in beginnings:
        case, new = each.new.case, each.new
        events = case.began(new.channel, new.category, new.follows)
        for tie in each.ties:
            events += case.tied(tie)
        store.publish(unit, case, events, each.cause)
        case.entries = 1
    await store.insert(unit, beginnings)
    await time_new(unit, [each.new.case for each in beginnings])


def _concerns(
    draft: CaseDraft, partner: str | None, orders: Orders, known: Collection[tuple[str | None, UUID]]
) -> tuple[list[Tie], UUID, str | None]:
    """Return what the case concerns, its customer and its partner."""
    if draft.order_id is None:
        if draft.line_id is not None or draft.quantity is not None or draft.also:
            raise WrongReference("/order_id", "a line, a quantity and other orders need the first order_id")
        if draft.customer_id is None:
            raise WrongReference("/customer_id", "name the customer, or an order of it")
        if (partner, draft.customer_id) not in known:
            raise WrongReference("/customer_id", "none of your customers has this id")
        return [], draft.customer_id, partner
    first = Concern(order_id=draft.order_id, line_id=draft.line_id, quantity=draft.quantity)
    tie, order = tied(first, orders, partner, draft.customer_id)
    ties = {(tie.order_id, tie.line_id): tie}
    for number, each in enumerate(draft.also):
        more, _ = tied(each, orders, order.partner, order.customer_id, f"/also/{number}")
        ties.setdefault((more.order_id, more.line_id), more)
    return list(ties.values()), order.customer_id, order.partner


def tied(
    one: Concern, orders: Orders, partner: str | None, customer_id: UUID | None, at: str = ""
) -> tuple[Tie, KnownOrder]:
    """Return a tie to an order of the partner and customer. Raise WrongReference with its place below `at`."""
    order = orders.get(one.order_id)
    if order is None or partner not in (None, order.partner):
        unknown = "none of your orders has this id; an order of a moment ago is known soon"
        raise WrongReference(f"{at}/order_id", unknown)
    if customer_id not in (None, order.customer_id):
        raise WrongReference(f"{at}/order_id", "the order is another customer's")
    if one.line_id is not None and one.line_id not in order.lines:
        raise WrongReference(f"{at}/line_id", "the order has no such line")
    return Tie(one.order_id, one.line_id, one.quantity), order
