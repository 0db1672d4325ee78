"""Erasures, holds and exports over HTTP."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from crm_service.conventions import CRM, Day, Staff
from crm_service.customers.personal import PII
from crm_service.customers.problems import ALREADY_MERGED, CUSTOMER_ERASED, NO_SUCH_CUSTOMER
from crm_service.erasure import store, views
from crm_service.erasure.act import Asked, Erase, Held, LiftHold, PlaceHold
from crm_service.erasure.export import EXPORTED
from crm_service.erasure.model import NoSuchErasure, NoSuchHold
from crm_service.erasure.views import ErasureSummary, ErasureView, Holds
from crossdock_chassis import (
    INVALID,
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    errors,
    json_response,
    provided,
    record_action,
    staff,
)

ERASE: Final = "pii:erase"
NDJSON: Final = "application/x-ndjson"
NO_SUCH_ERASURE: Final = Problem(404, "no-such-erasure", "No erasure has this id")
NO_SUCH_HOLD: Final = Problem(404, "no-such-hold", "The customer has no hold of staff with this id")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchErasure: NO_SUCH_ERASURE, NoSuchHold: NO_SUCH_HOLD}
Eraser = Annotated[Caller, staff(ERASE)]
PersonalReader = Annotated[Caller, staff(PII)]
Reason = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$", description="A code of your own")]


class ErasureIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "requested"}]})

    reason: Reason = "requested"


class HoldIn(BaseModel):
    """`until` is the last day of the hold."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "lawsuit", "until": "2099-12-31"}]}
    )

    reason: Reason
    until: Annotated[Day, Field(strict=False)]


class HoldId(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    hold_id: Annotated[UUID, Field(strict=False)]


@dataclass(frozen=True, slots=True)
class Erasures:
    """The dependencies of the routes."""

    database: Database
    ask: Coalescer[Erase, Asked]
    hold: Coalescer[PlaceHold | LiftHold, Held]

    async def held(self, caller: Caller, id: UUID) -> Holds:
        async with self.database.unit() as unit:
            root = await store.root_of(unit.sql, id)
            return await views.holds(unit.sql, root, unit.now)


ErasuresDep = Annotated[Erasures, provided(Erasures)]
router = APIRouter(prefix="/v1", tags=["privacy"])
CHANGING: Final[dict[str, Any]] = {
    "dependencies": CRM,
    "responses": errors(NO_SUCH_CUSTOMER, ALREADY_MERGED, CUSTOMER_ERASED, INVALID),
}


@router.post(
    "/customers/{customer_id}:erase",
    status_code=202,
    dependencies=CRM,
    response_model=ErasureView,
    responses={
        200: {"model": ErasureView, "description": "It is erased, or is to be erased: the known erasure"},
        202: {"headers": {"Location": {"description": "The erasure", "schema": {"type": "string"}}}},
        **errors(NO_SUCH_CUSTOMER),
    },
    summary="Erase the personal data of a customer",
)
async def post_erasure(
    customer_id: UUID, body: ErasureIn, caller: Eraser, key: IdempotencyKey, erasures: ErasuresDep
) -> Response:
    """Erase it, with all that it is merged with, once nothing holds it back. This cannot be undone."""
    done = await erasures.ask(Erase(customer_id, body.reason, caller.actor), key.of(body))
    async with erasures.database.unit() as unit:
        view = await views.get(unit.sql, done.result.erasure_id, unit.now)
    return json_response(
        view, 202 if done.result.new else 200, replayed=done.replayed, location=f"/v1/erasures/{view.id}"
    )


@router.get("/erasures", summary="List erasures, newest first")
async def get_erasures(
    caller: Staff,
    erasures: ErasuresDep,
    state: Literal["pending", "done"] | None = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[ErasureSummary]:
    async with erasures.database.unit() as unit:
        return await views.page(unit.sql, cursor, limit, state)


@router.get(
    "/erasures/{erasure_id}",
    summary="Show an erasure: what holds it back, and what is missing",
    responses=errors(NO_SUCH_ERASURE),
)
async def get_erasure(erasure_id: UUID, caller: Staff, erasures: ErasuresDep) -> ErasureView:
    async with erasures.database.unit() as unit:
        return await views.get(unit.sql, erasure_id, unit.now)


@router.get(
    "/customers/{customer_id}/holds",
    summary="List what keeps a customer from being erased",
    responses=errors(NO_SUCH_CUSTOMER),
)
async def get_holds(customer_id: UUID, caller: Staff, erasures: ErasuresDep) -> Holds:
    """Return its open orders and cases, imports that run, and the holds of staff. Each ends by itself."""
    return await erasures.held(caller, customer_id)


@router.post("/customers/{customer_id}:hold", **CHANGING, summary="Hold an erasure back by law")
async def post_hold(
    customer_id: UUID, body: HoldIn, caller: Eraser, key: IdempotencyKey, erasures: ErasuresDep
) -> Holds:
    await erasures.hold(PlaceHold(customer_id, body.reason, body.until, caller.actor), key.of(body))
    return await erasures.held(caller, customer_id)


@router.post(
    "/customers/{customer_id}:lift-hold",
    dependencies=CRM,
    responses=errors(NO_SUCH_CUSTOMER, ALREADY_MERGED, CUSTOMER_ERASED, NO_SUCH_HOLD),
    summary="Lift a hold that staff placed",
)
async def post_lifted_hold(
    customer_id: UUID, body: HoldId, caller: Eraser, key: IdempotencyKey, erasures: ErasuresDep
) -> Holds:
    await erasures.hold(LiftHold(customer_id, body.hold_id, caller.actor), key.of(body))
    return await erasures.held(caller, customer_id)


@router.get(
    "/customers/{customer_id}/export",
    response_class=StreamingResponse,
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "object"}}}, "description": "One JSON object a line"},
        **errors(NO_SUCH_CUSTOMER),
    },
    summary="Export the personal data of a customer",
)
async def get_export(customer_id: UUID, caller: PersonalReader, erasures: ErasuresDep) -> StreamingResponse:
    """Stream each row that is held, of crm-service: its store, and the row. Bytes are in hexadecimal, after `\\x`."""
    async with erasures.database.unit() as unit:
        root = await store.root_of(unit.sql, customer_id)
        ids = await store.members(unit.sql, root)
        await record_action(unit, caller.actor, "customer:export", f"/v1/customers/{root}")
    stamp = datetime.now(UTC).strftime("%Y%m%d")
    headers = {"Content-Disposition": f'attachment; filename="customer-{root}-{stamp}.ndjson"'}
    return StreamingResponse(_rows(erasures.database, ids), headers=headers, media_type=NDJSON)


async def _rows(database: Database, ids: list[UUID]) -> AsyncIterator[bytes]:
    async with database.unit() as unit:
        for name, query in EXPORTED.items():
            async for row in unit.sql.cursor(query, ids, prefetch=20):
                yield b'{"store":"%s","row":%s}\n' % (name.encode(), row[0].encode())
