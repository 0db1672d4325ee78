"""CSV files over HTTP, read as a stream. A file is imported whole or not at all."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from crossdock_chassis import (
    Coalescer,
    Database,
    IdempotencyKey,
    Problem,
    accepts,
    errors,
    json_response,
    limit_body,
    limited,
    provided,
)
from crossdock_events import Cause
from inventory_service.conventions import Reader, Why, Writer
from inventory_service.imports import model
from inventory_service.imports.model import (
    COLUMNS,
    DEFAULT_REFERENCE,
    ImportKind,
    ImportRefused,
    Row,
    Sheet,
    TooManyRows,
)
from inventory_service.imports.read import read
from inventory_service.imports.take import Take, take_file
from inventory_service.imports.take_items import TakeItems
from inventory_service.imports.take_locations import TakeLocations
from inventory_service.imports.take_opening_stock import TakeOpeningStock
from inventory_service.imports.views import ImportProblem, ImportResult, Upload
from inventory_service.stock.model import Reference

IMPORT_REFUSED: Final = Problem(
    422,
    "import-refused",
    "The file has errors and nothing was imported; `errors` names rows and columns",
    model=ImportProblem,
)
TOO_MANY_ROWS: Final = Problem(
    413, "too-many-rows", "The file has more rows than the limit; split it and send the parts"
)

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {ImportRefused: IMPORT_REFUSED, TooManyRows: TOO_MANY_ROWS}
CSV: Final = "text/csv"


@dataclass(frozen=True, slots=True)
class Imports:
    """The dependencies of the routes."""

    database: Database
    take: Coalescer[Take, ImportResult]
    max_bytes: int
    max_rows: int


def _description() -> str:
    columns = "\n".join(
        f"- `{kind}`: " + ", ".join(f"**{c.name}**" if c.required else c.name for c in COLUMNS[kind])
        for kind in COLUMNS
    )
    return (
        "The first row names the columns, in any order (bold columns are required):\n\n"
        f"{columns}\n\n"
        "Existing items and locations get the content of the file; a column that the file does not have changes "
        "nothing. A row of opening stock counts once under its reference, so importing a file again changes nothing. "
        "A file with an error changes nothing. `limit` of a 413 is the limit of this installation, in bytes of UTF-8 "
        "or in rows."
    )


ImportsDep = Annotated[Imports, provided(Imports)]
router = APIRouter(prefix="/v1/imports", tags=["imports"])


@router.post(
    "/{kind}",
    dependencies=[limited("imports", at_once=2)],
    response_model=ImportResult,
    summary="Import a CSV file",
    description=_description(),
    responses=errors(IMPORT_REFUSED, TOO_MANY_ROWS),
)
async def post_import(
    kind: ImportKind,
    request: Request,
    caller: Writer,
    csv: Annotated[None, accepts(CSV)],
    why: Why,
    key: IdempotencyKey,
    imports: ImportsDep,
    dry_run: Annotated[bool, Query(description="Check everything, return the result, and import nothing")] = False,
    reference: Annotated[
        Reference, Query(description="The reference of each row of opening stock that has none of its own")
    ] = DEFAULT_REFERENCE,
) -> Response:
    limit_body(request, imports.max_bytes)
    sheet, digest = Sheet(kind, reference), hashlib.sha256()
    await read(_hashed(request.stream(), digest), sheet, max_rows=imports.max_rows)
    command = _command(kind, sheet.rows(), why)
    if dry_run:
        async with imports.database.trial() as unit:
            result = await take_file(unit, command)
        return json_response(result.model_copy(update={"dry_run": True}))
    done = await imports.take(command, key.of(Upload(kind=kind, sha256=digest.hexdigest(), reference=reference)))
    return json_response(done.result, replayed=done.replayed)


@router.get(
    "/{kind}/template",
    summary="Download a CSV template: the columns and one example row",
    response_class=Response,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}},
)
async def get_template(kind: ImportKind, caller: Reader) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    return Response(model.template(kind), headers=headers, media_type=CSV)


def _command(kind: ImportKind, rows: list[Row], why: Cause) -> Take:
    match kind:
        case "items":
            return TakeItems(rows, why)
        case "locations":
            return TakeLocations(rows)
        case "opening-stock":
            return TakeOpeningStock(rows, why)


async def _hashed(chunks: AsyncIterator[bytes], digest: Any) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk
