"""Change what is known of a customer: the name that people use, and a mail address."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crm_service.customers import store
from crossdock_chassis import Actor, Unit, record_action
from crossdock_events import Cause
from crossdock_events.customers import CustomerUpdated

EMAIL = r"^[^\s@<>,;:\"\\\x00-\x1f\x7f]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,187}[A-Za-z0-9])?$"


class Profile(BaseModel):
    """What to change. A member that is left out stays. A mail address is added to those that the customer has."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "Ada Example", "email": "ada@example.com"}]},
    )

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    email: Annotated[str, Field(max_length=254, pattern=EMAIL)] | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    customer_id: UUID
    profile: Profile
    by: Actor
    cause: Cause


class Described(BaseModel):
    customer_id: UUID


async def describe_customer(unit: Unit, command: Describe) -> Described:
    """Change the profile. Raise NoSuchCustomer, AddressTaken. The audit names the parts, and never their values."""
    id, profile = command.customer_id, command.profile
    await store.lock(unit, id)
    parts = []
    if profile.name is not None:
        await store.rename(unit, id, profile.name)
        parts.append("profile")
    if profile.email is not None and await store.add_address(unit, id, profile.email):
        parts.append("channels")
    if parts:
        updated = CustomerUpdated(customer_id=id, parts=tuple(parts))
        unit.publish(updated, sequence=await store.advance(unit, id), cause=command.cause)
        await record_action(unit, command.by, "customer:describe", f"/v1/customers/{id}", after={"parts": parts})
    return Described(customer_id=id)
