"""Customers, and the partners that order for them."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import Base


class PartnerRow(Base):
    """A partner that has ordered, and the namespace of its customer ids.

    `account_id` is the customer that the orders without a customer id go to. It is null until there is such an order.
    """

    __tablename__ = "partners"
    __table_args__ = (Index("partners_account", "account_id", unique=True),)

    name: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    account_id: Mapped[UUID | None]


class CustomerRow(Base):
    """A person or an account. `kind` and `origin` have the codes of `CustomerRegistered`. `version` counts its events.

    `met_as` is the id by which it was met, in the partner's own numbering, and null for an account. A customer that was
    merged names the one that took it in, and keeps all that it has. `root` is the customer at the end of that chain,
    itself if it was not merged: what is shown of a customer is joined from all rows with its `root`.
    """

    __tablename__ = "customers"
    __table_args__ = (
        Index("customers_root", "root"),
        Index("customers_parent", "parent_id"),
        Index("customers_erased", "erased_at", postgresql_where=text("erased_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    origin: Mapped[str]
    met_by: Mapped[str | None]
    met_as: Mapped[str | None]
    display_name: Mapped[str | None]
    version: Mapped[int]
    registered_at: Mapped[datetime]
    born_on: Mapped[date | None]
    zone: Mapped[str | None]
    locale: Mapped[str | None]
    region: Mapped[str | None]
    owner: Mapped[str | None]
    parent_id: Mapped[UUID | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    fields: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    merged_into: Mapped[UUID | None]
    merged_at: Mapped[datetime | None]
    root: Mapped[UUID]
    erased_at: Mapped[datetime | None]


class ChannelRow(Base):
    """A mail address or phone number. `address` is as it was given, and `match` is the form that is compared.

    A mail address has one customer, and a phone number may have several. `region` is that of a number without +.
    """

    __tablename__ = "channels"
    __table_args__ = (
        Index("channels_customer", "customer_id"),
        Index("channels_email", "match", unique=True, postgresql_where=text("kind = 'email'")),
    )

    match: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(server_default=text("'email'"))
    address: Mapped[str]
    region: Mapped[str | None]
    added_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    undeliverable_at: Mapped[datetime | None]
    undeliverable_why: Mapped[str | None]


class CustomerAddressRow(Base):
    """A postal address of a customer."""

    __tablename__ = "customer_addresses"
    __table_args__ = (Index("customer_addresses_customer", "customer_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    purpose: Mapped[str]
    street: Mapped[str]
    extra: Mapped[str | None]
    city: Mapped[str]
    region: Mapped[str | None]
    postcode: Mapped[str | None]
    country: Mapped[str]
    added_at: Mapped[datetime]


class CustomerChangeRow(Base):
    """A value of a customer that changed: from, to, when, and who did it. `version` is that of the event."""

    __tablename__ = "customer_changes"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]


class ConsentRow(Base):
    """A consent that was given or withdrawn, for a purpose and a channel. Rows never change: the last one counts."""

    __tablename__ = "consents"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    channel: Mapped[str]
    state: Mapped[str]
    source: Mapped[str]
    at: Mapped[datetime]
    who: Mapped[str]


class MatchKeyRow(Base):
    """A hash of a value, or of a part of it, by which a customer is found when another one has it too."""

    __tablename__ = "match_keys"
    __table_args__ = (Index("match_keys_customer", "customer_id"),)

    key: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)


class SuspectRow(Base):
    """Two customers that may be the same, `one` with the lower id: `open`, `dismissed` or `merged`."""

    __tablename__ = "suspects"
    __table_args__ = (
        Index("suspects_other", "other"),
        Index("suspects_open", "score", "one", "other", postgresql_where=text("state = 'open'")),
    )

    one: Mapped[UUID] = mapped_column(primary_key=True)
    other: Mapped[UUID] = mapped_column(primary_key=True)
    score: Mapped[float]
    reasons: Mapped[list[str]]
    state: Mapped[str]
    found_at: Mapped[datetime]


class CustomerActivityRow(Base):
    """A note about a customer, or a call: `direction` is in or out, and `seconds` its length."""

    __tablename__ = "customer_activities"
    __table_args__ = (Index("customer_activities_customer", "customer_id", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime]
    who: Mapped[str]
    body: Mapped[str]
    direction: Mapped[str | None]
    seconds: Mapped[int | None]


class CustomerSchemaRow(Base):
    """A JSON Schema of the fields that staff add to customers. The newest version counts."""

    __tablename__ = "customer_schemas"

    version: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]
    who: Mapped[str]
    at: Mapped[datetime]


class CustomerLinkRow(Base):
    """A customer id as partners send it, and the customer that it leads to: with the orders placed `since` then."""

    __tablename__ = "customer_links"
    __table_args__ = (Index("customer_links_customer", "customer_id"),)

    namespace: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    since: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))


class CustomerMeetingRow(Base):
    """A partner that has ordered for a customer id. It names the link, and so it moves with the link."""

    __tablename__ = "customer_meetings"
    __table_args__ = (Index("customer_meetings_partner", "partner"),)

    namespace: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    partner: Mapped[str] = mapped_column(primary_key=True)
