"""Events about a customer: a person, or the account of a partner."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic, Value


class CustomerEvent(Event, topic=Topic("crossdock.customers.v1", key="customer_id", owner="crm-service")):
    """Sent by crm-service only."""

    customer_id: UUID


class CustomerRegistered(CustomerEvent, type="crossdock.CustomerRegistered.v1", carries="change", stability="draft"):
    """A customer became known. An `account` has the orders of a partner that name no customer.

    `partner` and `external_id` are the `partner` and `customer_id` of the order, or of the imported row, that named it
    first. Partners can share their customer ids. Other partners can then have ordered for it too.
    """

    kind: Annotated[Code, OpenEnum("person", "account")]
    origin: Annotated[Code, OpenEnum("order", "mail", "staff", "import")]
    partner: Identifier | None = None
    external_id: Identifier | None = None


class CustomerUpdated(CustomerEvent, type="crossdock.CustomerUpdated.v1", carries="change", stability="draft"):
    """What is known of the customer changed. Ask crm-service for the values: events carry no personal data."""

    parts: Annotated[
        tuple[Annotated[Code, OpenEnum("profile", "channels", "addresses", "merged")], ...], Field(min_length=1)
    ]


class CustomersMerged(CustomerEvent, type="crossdock.CustomersMerged.v1", carries="state", stability="draft"):
    """The customer is now a part of another one, `into`. What is known of the first is known of the second.

    The other customer sends `CustomerUpdated` with the part `merged`. It may itself be merged into a third one.
    """

    into: UUID


class CustomersUnmerged(CustomerEvent, type="crossdock.CustomersUnmerged.v1", carries="state", stability="draft"):
    """The customer is on its own again. It was a part of `out_of`."""

    out_of: UUID


class ConsentChanged(CustomerEvent, type="crossdock.ConsentChanged.v1", carries="state", stability="draft"):
    """The customer gave or withdrew a consent. The latest event for a purpose and channel counts.

    After a `CustomersMerged`, a withdrawal of either customer counts until the customer gives the consent again.
    """

    purpose: Code
    channel: Annotated[Code, OpenEnum("email", "phone", "sms", "post")]
    state: Annotated[Code, OpenEnum("given", "withdrawn")]
    source: Code


class OrderedAs(Value):
    """The `partner` and `customer_id` of orders."""

    partner: Identifier
    external_id: Identifier


class CustomerErased(CustomerEvent, type="crossdock.CustomerErased.v1", carries="state"):
    """The personal data of the customer is erased. Forget it: blank or delete all that you hold of the customer.

    `ordered_as` names the orders of the customer: they have such a `partner` and `customer_id`, and are older than this
    event. Ids may stay, because they lead to nobody now. After a restore the event is sent again: forget again.
    """

    ordered_as: Annotated[tuple[OrderedAs, ...], Field(max_length=1_000)] = ()
