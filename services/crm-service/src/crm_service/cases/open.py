"""Open a case for a customer."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_service.cases import store
from crm_service.cases.model import Case, Did, Kind, Tie, WrongReference
from crm_service.cases.store import Entry, NewCase
from crm_service.cases.timing import time_case
from crm_service.orders import look
from crossdock_chassis import Actor, Unit, new_id, record_action
from crossdock_events import Cause

Severity = Literal["low", "normal", "high", "critical"]
Text = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]+$")]


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
    line_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    quantity: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


@dataclass(frozen=True, slots=True)
class OpenCase:
    """`partner` is None for staff."""

    draft: CaseDraft
    partner: str | None
    by: Actor
    cause: Cause


class Opened(BaseModel):
    case_id: UUID


async def open_case(unit: Unit, command: OpenCase) -> Opened:
    """Open the case, tied to its order. Raise WrongReference if the partner knows no such customer, order or line."""
    draft = command.draft
    tie, customer_id, partner = await _concerns(unit, draft, command.partner)
    case = Case(new_id(), draft.kind, customer_id, partner, draft.severity)
    side = "partner" if command.partner else "staff"
    entry = Entry(Did.OPENED, side, command.by.who, draft.text)
    await begin(unit, NewCase(case, draft.category, draft.subject, draft.channel), entry, tie, command.cause)
    if command.partner is None:
        after: dict[str, Any] = {"kind": draft.kind, "customer_id": customer_id}
        await record_action(unit, command.by, "case:open", f"/v1/cases/{case.id}", after=after)
    return Opened(case_id=case.id)


async def begin(unit: Unit, new: NewCase, entry: Entry, tie: Tie | None, cause: Cause | None) -> None:
    """Store a new case with its first entry and its tie, and publish both."""
    case = new.case
    await store.insert(unit, new)
    events = case.began(new.channel, new.category, new.follows)
    if tie is not None:
        await store.tie(unit, case, tie)
        events += case.tied(tie)
    await store.record(unit, case, entry, events, cause)
    await time_case(unit, case)


async def _concerns(unit: Unit, draft: CaseDraft, partner: str | None) -> tuple[Tie | None, UUID, str | None]:
    """Return what the case concerns, its customer and its partner."""
    if draft.order_id is None:
        if draft.line_id is not None or draft.quantity is not None:
            raise WrongReference("/order_id", "a line and a quantity need the order_id of their order")
        if draft.customer_id is None:
            raise WrongReference("/customer_id", "name the customer, or an order of it")
        if not await look.knows(unit, partner, draft.customer_id):
            raise WrongReference("/customer_id", "none of your customers has this id")
        return None, draft.customer_id, partner
    order = await look.order(unit, partner, draft.order_id)
    if order is None:
        raise WrongReference("/order_id", "none of your orders has this id; an order of a moment ago is known soon")
    if draft.customer_id not in (None, order.customer_id):
        raise WrongReference("/order_id", "the order is another customer's")
    if draft.line_id is not None and draft.line_id not in order.lines:
        raise WrongReference("/line_id", "the order has no such line")
    return Tie(draft.order_id, draft.line_id, draft.quantity), order.customer_id, order.partner
