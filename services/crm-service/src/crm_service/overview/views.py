"""Everything about one customer on one page."""

from typing import Annotated, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.cases import views as cases
from crm_service.cases.views import CaseSummary
from crm_service.customers import views as customers
from crm_service.customers.listing import Wanted
from crm_service.customers.personal import Eyes
from crm_service.customers.views import CustomerView, Digest
from crm_service.orders import views as orders
from crm_service.orders.views import CustomerOrderView

CONTACTS: Final = 50


class ContactView(BaseModel):
    """A customer that belongs to an account."""

    id: UUID
    name: str | None
    emails: list[str]
    phones: list[str]


class Overview(BaseModel):
    customer: CustomerView
    contacts: Annotated[list[ContactView], Field(description="The newest 50 that belong to it, for staff")]
    orders: Annotated[list[CustomerOrderView], Field(description="The newest 100 orders")]
    cases: Annotated[list[CaseSummary], Field(description="The newest 50 cases")]


async def overview(
    sql: asyncpg.Connection, partner: str | None, customer_id: UUID, eyes: Eyes, digest: Digest
) -> Overview:
    """Return what the partner may see, or everything without one. Raise NoSuchCustomer."""
    customer = await customers.get(sql, partner, customer_id, eyes, digest)
    return Overview(
        customer=customer,
        contacts=await _contacts(sql, customer, eyes) if partner is None and customer.kind == "account" else [],
        orders=await orders.of_customer(sql, customer.id, partner),
        cases=await cases.of_customer(sql, customer.id, partner),
    )


async def _contacts(sql: asyncpg.Connection, account: CustomerView, eyes: Eyes) -> list[ContactView]:
    page = await customers.page(sql, None, None, CONTACTS, eyes, Wanted(parent_id=account.id))
    return [
        ContactView(
            id=each.id,
            name=each.name,
            emails=each.emails,
            phones=[channel.value for channel in each.channels if channel.kind == "phone"],
        )
        for each in page.items
    ]
