"""Ask to erase a customer, and hold it back."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from pydantic import BaseModel

from crm_service.customers import store as customers
from crm_service.customers.model import WrongValue
from crm_service.erasure import store
from crm_service.erasure.model import end_of
from crossdock_chassis import Actor, Unit, record_action


@dataclass(frozen=True, slots=True)
class Erase:
    customer_id: UUID
    reason: str
    by: Actor


@dataclass(frozen=True, slots=True)
class PlaceHold:
    customer_id: UUID
    reason: str
    until: date
    by: Actor


@dataclass(frozen=True, slots=True)
class LiftHold:
    customer_id: UUID
    hold_id: UUID
    by: Actor


class Asked(BaseModel):
    erasure_id: UUID
    new: bool = True


class Held(BaseModel):
    customer_id: UUID


async def ask_to_erase(unit: Unit, command: Erase) -> Asked:
    """Ask for an erasure of the customer and of all that it is merged with. Raise NoSuchCustomer.

    If one is pending, or the customer is erased, return that erasure.
    """
    root = await store.lock_root(unit, command.customer_id)
    if (known := await store.known(unit, command.customer_id)) is not None:
        return Asked(erasure_id=known, new=False)
    id = await store.ask(unit, root, command.reason, command.by.who)
    after = {"erasure_id": str(id), "reason": command.reason}
    await record_action(unit, command.by, "customer:erase", f"/v1/customers/{root}", after=after)
    return Asked(erasure_id=id, new=True)


async def hold_back(unit: Unit, command: PlaceHold | LiftHold) -> Held:
    """Place a hold, or lift one. Raise NoSuchCustomer, AlreadyMerged, CustomerErased, NoSuchHold, WrongValue."""
    customer = await customers.lock(unit, command.customer_id)
    target = f"/v1/customers/{customer.id}"
    if isinstance(command, LiftHold):
        await store.lift(unit, customer.id, command.hold_id)
        await record_action(unit, command.by, "customer:lift-hold", target, after={"hold_id": str(command.hold_id)})
    else:
        if end_of(command.until) <= unit.now:
            raise WrongValue("/until", "the day has passed", "past")
        id = await store.hold(unit, customer.id, command.reason, command.until, command.by.who)
        after = {"hold_id": str(id), "reason": command.reason, "until": str(command.until)}
        await record_action(unit, command.by, "customer:hold", target, after=after)
    return Held(customer_id=customer.id)
