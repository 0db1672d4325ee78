"""Register a customer that staff describe."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from crm_service.customers import change, store
from crm_service.customers.bodies import CustomerDraft
from crm_service.customers.model import Change, Customer, Profile, WrongValue
from crm_service.customers.suspects import suspect
from crossdock_chassis import Actor, Unit, new_id, record_action
from crossdock_events import Cause
from crossdock_events.customers import CustomerRegistered


@dataclass(frozen=True, slots=True)
class CreateCustomer:
    draft: CustomerDraft
    by: Actor
    cause: Cause


class Created(BaseModel):
    customer_id: UUID


async def create_customer(unit: Unit, command: CreateCustomer) -> Created:
    """Register the customer. Raise WrongValue, AddressTaken."""
    draft, id = command.draft, new_id()
    await store.register(unit, [(id, draft.kind, None, None)], "staff")
    registered = CustomerRegistered(customer_id=id, kind=draft.kind, origin="staff")
    unit.publish(registered, sequence=1, cause=command.cause)
    customer = Customer(id, draft.kind, 1, Profile(region=draft.region))
    await change.describe(draft)(unit, customer)
    for number, channel in enumerate(draft.channels):
        try:
            await change.add_channel(channel)(unit, customer)
        except WrongValue as error:
            raise error.inside(f"/channels/{number}") from None
    for address in draft.addresses:
        await change.add_address(address)(unit, customer)
    await suspect(unit, id)
    given = draft.model_dump(mode="json", exclude_unset=True)
    await store.keep_history(unit, id, 1, command.by.who, [Change("profile", "registered", None, given)])
    await record_action(unit, command.by, "customer:create", f"/v1/customers/{id}", after={"kind": draft.kind})
    return Created(customer_id=id)
