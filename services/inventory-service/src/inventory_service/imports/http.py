"""CSV files of items, locations and opening stock over HTTP. Each upload becomes a job."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from crossdock_chassis import ImportKind, UploadDep, import_routes, uploads
from inventory_service.conventions import Reader, Writer
from inventory_service.imports.kinds import ITEMS, LOCATIONS, OPENING_STOCK
from inventory_service.stock.model import Reference

DEFAULT_REFERENCE: Final = "opening"
CSV: Final = "text/csv"
CHANGES: Final = "Existing entries get the content of the file. A column that the file does not have changes nothing."
TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}

router = APIRouter(prefix="/v1", tags=["imports"])
status = import_routes(reader="stock:read", writer="stock:write")


@router.post("/items:import", summary="Import a CSV file of items", **uploads(ITEMS, CHANGES))
async def import_items(caller: Writer, upload: UploadDep) -> Response:
    return await upload(caller, ITEMS)


@router.post("/locations:import", summary="Import a CSV file of locations", **uploads(LOCATIONS, CHANGES))
async def import_locations(caller: Writer, upload: UploadDep) -> Response:
    return await upload(caller, LOCATIONS)


@router.post(
    "/opening-stock:import",
    summary="Import a CSV file of opening stock",
    **uploads(
        OPENING_STOCK,
        "A row counts once under its reference, so importing a file again changes nothing. Locations and items must "
        "exist.",
    ),
)
async def import_opening_stock(
    caller: Writer,
    upload: UploadDep,
    reference: Annotated[
        Reference, Query(description="The reference of each row that has none of its own")
    ] = DEFAULT_REFERENCE,
) -> Response:
    return await upload(caller, OPENING_STOCK, {"reference": reference})


@router.get(
    "/items:template",
    summary="Download a CSV template of items: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_items_template(caller: Reader) -> Response:
    return _template(ITEMS)


@router.get(
    "/locations:template",
    summary="Download a CSV template of locations: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_locations_template(caller: Reader) -> Response:
    return _template(LOCATIONS)


@router.get(
    "/opening-stock:template",
    summary="Download a CSV template of opening stock: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_opening_stock_template(caller: Reader) -> Response:
    return _template(OPENING_STOCK)


def _template(kind: ImportKind) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{kind.name}.csv"'}
    return Response(kind.sheet().template, headers=headers, media_type=CSV)
