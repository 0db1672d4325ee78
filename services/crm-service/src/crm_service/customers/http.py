"""Customers over HTTP: parse, call, render."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crm_service.conventions import CRM, Id, Reader, Staff
from crm_service.customers import views
from crm_service.customers.describe import EMAIL, Describe, Described, Profile
from crm_service.customers.model import AddressTaken, NoSuchCustomer
from crm_service.customers.problems import ADDRESS_TAKEN, NO_SUCH_CUSTOMER
from crm_service.customers.views import CustomerSummary, CustomerView
from crossdock_chassis import (
    Coalescer,
    Database,
    IdempotencyKey,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    cause,
    errors,
    json_response,
    provided,
)
from crossdock_events import Cause

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchCustomer: NO_SUCH_CUSTOMER, AddressTaken: ADDRESS_TAKEN}


@dataclass(frozen=True, slots=True)
class Customers:
    """The dependencies of the routes."""

    database: Database
    describe: Coalescer[Describe, Described]


CustomersDep = Annotated[Customers, provided(Customers)]
router = APIRouter(prefix="/v1/customers", tags=["customers"])


@router.get("", summary="List customers, newest first")
async def get_customers(
    caller: Reader,
    customers: CustomersDep,
    external_id: Annotated[Id | None, Query(description="Only with this id of a partner")] = None,
    order_id: Annotated[UUID | None, Query(description="Only the customer of this order")] = None,
    email: Annotated[str | None, Query(max_length=254, pattern=EMAIL, description="Only with this address")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[CustomerView]:
    """Return one page. A partner sees the customers that it has ordered for, and its own account."""
    async with customers.database.unit() as unit:
        return await views.page(
            unit.sql,
            caller.partner or None,
            cursor,
            limit,
            external_id=external_id,
            order_id=order_id,
            email=email,
        )


@router.get("/summary", summary="Count customers")
async def get_summary(caller: Staff, customers: CustomersDep) -> CustomerSummary:
    async with customers.database.unit() as unit:
        return await views.summary(unit.sql)


@router.get("/{customer_id}", summary="Show a customer", responses=errors(NO_SUCH_CUSTOMER))
async def get_customer(customer_id: UUID, caller: Reader, customers: CustomersDep) -> CustomerView:
    async with customers.database.unit() as unit:
        return await views.get(unit.sql, caller.partner or None, customer_id)


@router.patch(
    "/{customer_id}",
    dependencies=CRM,
    response_model=CustomerView,
    responses=errors(NO_SUCH_CUSTOMER, ADDRESS_TAKEN),
    summary="Change the name of a customer, or add a mail address",
)
async def patch_customer(
    customer_id: UUID,
    body: Profile,
    caller: Staff,
    why: Annotated[Cause, cause],
    key: IdempotencyKey,
    customers: CustomersDep,
) -> Response:
    """Mails from the address then belong to this customer."""
    done = await customers.describe(Describe(customer_id, body, caller.actor, why), key.of(body))
    async with customers.database.unit() as unit:
        return json_response(await views.get(unit.sql, None, customer_id), replayed=done.replayed)
