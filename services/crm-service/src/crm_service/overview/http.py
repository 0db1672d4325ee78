"""The overview of a customer over HTTP."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from crm_service.conventions import Reader
from crm_service.customers.personal import eyes_of, note_read
from crm_service.customers.problems import NO_SUCH_CUSTOMER
from crm_service.overview import views
from crm_service.overview.views import Overview
from crossdock_chassis import Database, errors, provided


@dataclass(frozen=True, slots=True)
class Overviews:
    """The dependencies of the route."""

    database: Database


OverviewsDep = Annotated[Overviews, provided(Overviews)]
router = APIRouter(prefix="/v1/customers", tags=["customers"])


@router.get("/{customer_id}/360", summary="Show everything about a customer", responses=errors(NO_SUCH_CUSTOMER))
async def get_overview(customer_id: UUID, caller: Reader, overviews: OverviewsDep) -> Overview:
    """Return profile, orders with what they wait for, and cases with their clocks. A partner sees its own."""
    eyes = eyes_of(caller)
    async with overviews.database.unit() as unit:
        overview = await views.overview(unit.sql, caller.partner or None, customer_id, eyes)
        await note_read(unit, caller, eyes, f"/v1/customers/{overview.customer.id}/360")
    return overview
