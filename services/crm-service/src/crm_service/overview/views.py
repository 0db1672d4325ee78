"""Everything about one customer on one page."""

from typing import Annotated
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.cases import views as cases
from crm_service.cases.views import CaseSummary
from crm_service.customers import views as customers
from crm_service.customers.personal import Eyes
from crm_service.customers.views import CustomerView
from crm_service.orders import views as orders
from crm_service.orders.views import CustomerOrderView


class Overview(BaseModel):
    customer: CustomerView
    orders: Annotated[list[CustomerOrderView], Field(description="The newest 100 orders")]
    cases: Annotated[list[CaseSummary], Field(description="The newest 50 cases")]


async def overview(sql: asyncpg.Connection, partner: str | None, customer_id: UUID, eyes: Eyes) -> Overview:
    """Return what the partner may see, or everything without one. Raise NoSuchCustomer."""
    customer = await customers.get(sql, partner, customer_id, eyes)
    return Overview(
        customer=customer,
        orders=await orders.of_customer(sql, customer.id, partner),
        cases=await cases.of_customer(sql, customer.id, partner),
    )
