"""Files of customers over HTTP. Each upload becomes a job."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from crm_service.conventions import STAFF, Staff
from crm_service.uploads.kinds import customers, kind
from crossdock_chassis import ImportKind, UploadDep, import_routes, provided, uploads

CSV: Final = "text/csv"
TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
CHANGES: Final = (
    "A row is a customer of a partner, under the id that the partner uses. A known customer gets the values of the "
    "row, and an empty cell changes nothing. Customers that may be the same are listed at `/v1/customers/suspects`."
)


@dataclass(frozen=True, slots=True)
class Kinds:
    customers: ImportKind


router = APIRouter(prefix="/v1", tags=["imports"])
status = import_routes(reader=STAFF, writer=STAFF, company=True)


@router.post("/customers:import", summary="Import a CSV file of customers", **uploads(kind({}), CHANGES))
async def import_customers(caller: Staff, upload: UploadDep, kinds: Annotated[Kinds, provided(Kinds)]) -> Response:
    return await upload(caller, kinds.customers)


@router.get(
    "/customers:template",
    summary="Download a CSV template of customers: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_customers_template(caller: Staff) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="customers.csv"'}
    return Response(customers().template, headers=headers, media_type=CSV)
