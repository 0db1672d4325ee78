"""Events about a customer: a person, or the account of a partner."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic


class CustomerEvent(Event, topic=Topic("crossdock.customers.v1", key="customer_id", owner="crm-service")):
    """Sent by crm-service only."""

    customer_id: UUID


class CustomerRegistered(CustomerEvent, type="crossdock.CustomerRegistered.v1", carries="change", stability="draft"):
    """A customer became known. An `account` has the orders of a partner that name no customer.

    `partner` and `external_id` are the `partner` and `customer_id` of the order that named it first. Partners can share
    their customer ids. Other partners can then have ordered for it too.
    """

    kind: Annotated[Code, OpenEnum("person", "account")]
    origin: Annotated[Code, OpenEnum("order", "mail", "staff")]
    partner: Identifier | None = None
    external_id: Identifier | None = None


class CustomerUpdated(CustomerEvent, type="crossdock.CustomerUpdated.v1", carries="change", stability="draft"):
    """What is known of the customer changed. Ask crm-service for the values: events carry no personal data."""

    parts: Annotated[tuple[Annotated[Code, OpenEnum("profile", "channels")], ...], Field(min_length=1)]
