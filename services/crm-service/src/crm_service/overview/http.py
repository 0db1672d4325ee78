"""The overview of a customer over HTTP: everything on one page, what happened, notes and calls."""

from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Response

from crm_service.conventions import CRM, Reader, Staff
from crm_service.customers import views as customers
from crm_service.customers.personal import eyes_of, note_read
from crm_service.customers.problems import ALREADY_MERGED, CUSTOMER_ERASED, NO_SUCH_CUSTOMER
from crm_service.customers.views import Digest
from crm_service.overview import views
from crm_service.overview.activities import CallIn, NoteIn, RecordActivity, Recorded
from crm_service.overview.timeline import CURSOR, TimelineItem, timeline
from crm_service.overview.views import Overview
from crossdock_chassis import (
    Actor,
    Coalescer,
    Database,
    IdempotencyKey,
    Page,
    PageCursor,
    PageLimit,
    errors,
    json_response,
    provided,
)
from crossdock_chassis import IdempotencyKey as Key


@dataclass(frozen=True, slots=True)
class Overviews:
    """The dependencies of the routes."""

    database: Database
    record: Coalescer[RecordActivity, Recorded]
    digest: Digest


OverviewsDep = Annotated[Overviews, provided(Overviews)]
router = APIRouter(prefix="/v1/customers", tags=["customers"])
RECORDING: Final[dict[str, Any]] = {
    "status_code": 201,
    "dependencies": CRM,
    "response_model": Recorded,
    "responses": errors(NO_SUCH_CUSTOMER, ALREADY_MERGED, CUSTOMER_ERASED),
}


@router.get("/{customer_id}/360", summary="Show everything about a customer", responses=errors(NO_SUCH_CUSTOMER))
async def get_overview(customer_id: UUID, caller: Reader, overviews: OverviewsDep) -> Overview:
    """Return profile, consents, orders with what they wait for, and cases with their clocks. A partner sees its own."""
    eyes = eyes_of(caller)
    async with overviews.database.unit() as unit:
        overview = await views.overview(unit.sql, caller.partner or None, customer_id, eyes, overviews.digest)
        await note_read(unit, caller, eyes, f"/v1/customers/{overview.customer.id}/360")
    return overview


@router.get("/{customer_id}/timeline", summary="List what happened to a customer", responses=errors(NO_SUCH_CUSTOMER))
async def get_timeline(
    customer_id: UUID, caller: Reader, overviews: OverviewsDep, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[TimelineItem]:
    """Return orders, cases, mails, notes, calls, changes and consents, the newest first. A partner sees its own."""
    CURSOR.decode(cursor)
    eyes, partner = eyes_of(caller), caller.partner or None
    async with overviews.database.unit() as unit:
        customer = await customers.get(unit.sql, partner, customer_id, eyes, overviews.digest)
        page = await timeline(unit.sql, partner, customer.id, cursor, limit, eyes)
        await note_read(unit, caller, eyes, f"/v1/customers/{customer.id}/timeline")
    return page


@router.post("/{customer_id}:note", **RECORDING, summary="Add a note, which no customer and no partner sees")
async def post_note(
    customer_id: UUID, body: NoteIn, caller: Staff, key: IdempotencyKey, overviews: OverviewsDep
) -> Response:
    return await _record(customer_id, body, caller.actor, key, overviews)


@router.post("/{customer_id}:call", **RECORDING, summary="Record a call that has ended")
async def post_call(
    customer_id: UUID, body: CallIn, caller: Staff, key: IdempotencyKey, overviews: OverviewsDep
) -> Response:
    return await _record(customer_id, body, caller.actor, key, overviews)


async def _record(id: UUID, body: NoteIn | CallIn, by: Actor, key: Key, overviews: Overviews) -> Response:
    done = await overviews.record(RecordActivity(id, body, by), key.of(body))
    return json_response(done.result, 201, replayed=done.replayed)
