"""Record notes about a customer, and calls."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from crm_service.customers import store
from crm_service.customers.bodies import Body
from crossdock_chassis import Actor, Number, Unit, new_id, record_action

INSERT: Final = """
    INSERT INTO customer_activities (id, customer_id, kind, at, who, body, direction, seconds)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
Text = Annotated[str, Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]+$")]


class NoteIn(Body):
    text: Text


class CallIn(Body):
    """A call that has ended. `seconds` is its length."""

    text: Text
    direction: Literal["in", "out"]
    seconds: Annotated[int, Number(0, 86_400)] = 0


@dataclass(frozen=True, slots=True)
class RecordActivity:
    customer_id: UUID
    body: NoteIn | CallIn
    by: Actor


class Recorded(BaseModel):
    customer_id: UUID
    activity_id: UUID


async def record_activity(unit: Unit, command: RecordActivity) -> Recorded:
    """Append a note or a call, which began before now by its length. Raise NoSuchCustomer, AlreadyMerged."""
    customer = await store.lock(unit, command.customer_id)
    body, id = command.body, new_id()
    call = body if isinstance(body, CallIn) else None
    kind, seconds = ("note", None) if call is None else ("call", call.seconds)
    at = unit.now - timedelta(seconds=seconds or 0)
    direction = None if call is None else call.direction
    await unit.sql.execute(INSERT, id, customer.id, kind, at, command.by.who, body.text, direction, seconds)
    await record_action(unit, command.by, f"customer:{kind}", f"/v1/customers/{customer.id}", after={"id": id})
    return Recorded(customer_id=customer.id, activity_id=id)
