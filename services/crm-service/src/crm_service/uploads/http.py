"""Files of customers over HTTP. Each upload becomes a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field
from pydantic_core import to_json

from crm_service.conventions import STAFF, Staff
from crm_service.uploads.kinds import CSV, customers, kinds
from crm_service.uploads.xlsx import MEDIA_TYPE
from crossdock_chassis import COLUMNS, INVALID, SKIP, ImportKind, Refusal, Upload, import_routes, provided, upload_of
from crossdock_chassis import uploads as uploading

TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
CHANGES: Final = (
    "The file is CSV, or the first sheet of XLSX. A row is a customer of a partner, under the id that the "
    "partner uses. A known customer gets the values of the row, and an empty cell changes nothing. Customers that may "
    "be the same are listed at `/v1/customers/suspects`."
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
