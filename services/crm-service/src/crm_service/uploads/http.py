"""Files of customers over HTTP. Each upload becomes a job."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from pydantic_core import to_json

from crm_service.conventions import CRM, STAFF, Staff
from crm_service.customers.personal import eyes_of
from crm_service.uploads.export import exported
from crm_service.uploads.kinds import CSV, customers, kinds
from crm_service.uploads.undo import Asked, Undo
from crm_service.uploads.views import UndoView, undo_of
from crm_service.uploads.xlsx import MEDIA_TYPE
from crossdock_chassis import (
    COLUMNS,
    INVALID,
    SKIP,
    Coalescer,
    Database,
    ImportKind,
    ImportRuns,
    NoSuchImport,
    Refusal,
    Upload,
    Wait,
    errors,
    find_import,
    import_routes,
    json_response,
    provided,
    record_action,
    upload_of,
)
from crossdock_chassis import uploads as uploading

TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
CHANGES: Final = (
    "The file is CSV, or the first sheet of XLSX. A row is a customer of a partner, under the id that the "
    "partner uses. A known customer gets the values of the row, and an empty cell changes nothing. Customers that may "
    "be the same are counted in `suspected`, and listed at `/v1/customers/suspects?import_id=`."
)
_NAMES: Final = "|".join((*(each.name for each in customers().columns), SKIP))
Mapped = Annotated[str, Field(pattern=rf"^({_NAMES})=[^\x00-\x1f\x7f]{{1,100}}$", examples=["external_id=Kundennr."])]
Columns = Annotated[
    list[Mapped],
    Query(max_length=100, description=f"How the file names a column: `name=Full name`. `{SKIP}=Notes` leaves one out"),
]


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kind of file of each media type."""

    of_type: Mapping[str, ImportKind]


@dataclass(frozen=True, slots=True)
class Undoing:
    database: Database
    undo: Coalescer[Undo, Asked]


UndoingDep = Annotated[Undoing, provided(Undoing)]
LOOK_SECONDS: Final = 0.05
NO_SUCH: Final = NoSuchImport.problem
RUNS: Final = ImportRuns.problem
router = APIRouter(prefix="/v1", tags=["imports"])
status = import_routes(reader=STAFF, writer=STAFF, company=True)


@router.post(
    "/customers:import",
    summary="Import a CSV or XLSX file of customers",
    **uploading(kinds({})[CSV], CHANGES),
)
async def import_customers(
    caller: Staff,
    upload: Annotated[Upload, upload_of(CSV, MEDIA_TYPE)],
    of: Annotated[Kinds, provided(Kinds)],
    columns: Columns = [],  # noqa: B006  (FastAPI copies it)
) -> Response:
    return await upload(caller, of.of_type.get(upload.media_type, of.of_type[CSV]), _mapping(columns))


def _mapping(columns: list[str]) -> dict[str, str]:
    """Return the argument of the import that maps headers to columns. Raise Refusal 422 for a header given twice."""
    mapped: dict[str, str] = {}
    for number, each in enumerate(columns):
        name, _, header = each.partition("=")
        if mapped.setdefault(header.strip().lower(), name) != name:
            detail = f"the header {header.strip()!r} is mapped to {mapped[header.strip().lower()]} already"
            place = {"in": "query", "parameter": f"{COLUMNS}.{number}", "detail": detail, "code": "repeated"}
            raise Refusal(INVALID, errors=[place])
    return {COLUMNS: to_json(mapped).decode()} if mapped else {}


@router.get(
    "/customers:template",
    summary="Download a CSV template of customers: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_customers_template(caller: Staff) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="customers.csv"'}
    return Response(customers().template, headers=headers, media_type=CSV)


@router.get(
    "/customers:export",
    summary="Export customers as CSV",
    response_class=StreamingResponse,
    responses=TEMPLATE,
)
async def get_customers_export(caller: Staff, undoing: UndoingDep) -> StreamingResponse:
    """Stream the columns of the template, with a row for each customer id of a partner: it can be imported again.

    A customer that no partner has an id for has no row. Of several mail addresses, numbers and postal addresses a row
    has the first. Values are masked unless the token has `pii:read`.
    """
    eyes = eyes_of(caller)
    async with undoing.database.unit() as unit:
        await record_action(unit, caller.actor, "customer:export", "/v1/customers", after={"masked": not eyes.open})
    headers = {"Content-Disposition": 'attachment; filename="customers.csv"'}
    return StreamingResponse(exported(undoing.database, eyes), headers=headers, media_type=CSV)


@router.post(
    "/imports/{id}:undo",
    dependencies=CRM,
    status_code=202,
    response_model=UndoView,
    responses={200: {"description": "The import is undone", "model": UndoView}, **errors(NO_SUCH, RUNS)},
    summary="Undo an import of customers",
)
async def post_undo(id: UUID, caller: Staff, undoing: UndoingDep, wait: Wait) -> Response:
    """Remove the customers that the import registered, and give those that it changed their former values.

    A customer to which anything has happened since stays as it is. The answer is 202 while the work goes on. An import
    that was stopped or has failed cannot go on any more.
    """
    await undoing.undo(Undo(id, caller.partner, caller.actor))
    until = time.monotonic() + wait
    while (found := await undo_of(undoing.database, id)).state in ("queued", "running") and time.monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
    return json_response(found, 200 if found.state == "done" else 202, location=f"/v1/imports/{id}/undo")


@router.get("/imports/{id}/undo", summary="Show how far an import is undone", responses=errors(NO_SUCH))
async def get_undo(id: UUID, caller: Staff, undoing: UndoingDep) -> UndoView:
    await find_import(undoing.database, caller.partner, id)
    return await undo_of(undoing.database, id)
