"""Record the consents that a customer gives and withdraws."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from crm_service.customers import store
from crm_service.customers.bodies import ConsentIn
from crm_service.customers.change import Changed, Expected
from crossdock_chassis import Actor, Unit, record_action
from crossdock_events import Cause
from crossdock_events.customers import ConsentChanged

RECORD: Final = """
    INSERT INTO consents (customer_id, version, purpose, channel, state, source, at, who)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


@dataclass(frozen=True, slots=True)
class RecordConsent:
    customer_id: UUID
    said: ConsentIn
    by: Actor
    expected: Expected
    cause: Cause


async def record_consent(unit: Unit, command: RecordConsent) -> Changed:
    """Append the consent. Raise NoSuchCustomer, AlreadyMerged, or the error of `expected.check`."""
    customer = await store.lock(unit, command.customer_id)
    command.expected.check(customer.version)
    said = command.said
    await append(unit, customer.id, said, command.by.who, command.cause)
    after = {"purpose": said.purpose, "channel": said.channel, "state": said.state}
    await record_action(unit, command.by, "customer:consent", f"/v1/customers/{customer.id}", after=after)
    return Changed(customer_id=customer.id)


async def append(unit: Unit, id: UUID, said: ConsentIn, who: str, cause: Cause | None) -> None:
    """Append a consent of the locked customer, and publish it."""
    version = await store.advance(unit, id)
    await unit.sql.execute(RECORD, id, version, said.purpose, said.channel, said.state, said.source, unit.now, who)
    event = ConsentChanged(
        customer_id=id, purpose=said.purpose, channel=said.channel, state=said.state, source=said.source
    )
    unit.publish(event, sequence=version, cause=cause)
