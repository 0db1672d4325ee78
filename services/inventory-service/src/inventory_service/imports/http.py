"""Files over HTTP: CSV in, streamed; all of it is taken or nothing."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from crossdock_chassis import (
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    accepts,
    cause,
    json_response,
    limited,
    requires,
)
from crossdock_events import Cause
from inventory_service.imports import model
from inventory_service.imports.model import COLUMNS, DEFAULT_REFERENCE, ImportKind, Row, Sheet
from inventory_service.imports.read import read
from inventory_service.imports.take import Take, take_file
from inventory_service.imports.take_items import TakeItems
from inventory_service.imports.take_locations import TakeLocations
from inventory_service.imports.take_opening_stock import TakeOpeningStock
from inventory_service.imports.views import ImportProblem, ImportResult, Upload
from inventory_service.stock.model import Reference

Reader = Annotated[Caller, requires("stock:read")]
Writer = Annotated[Caller, requires("stock:write")]
Why = Annotated[Cause, cause]
CSV = "text/csv"


@dataclass(frozen=True, slots=True)
class Limits:
    bytes: int
    rows: int


def routes(
    database: Database,
    take: Coalescer[Take, ImportResult],
    limits: Limits,
) -> APIRouter:
    router = APIRouter(prefix="/v1/imports", tags=["imports"])

    @router.post(
        "/{kind}",
        dependencies=[limited("imports")],
        response_model=ImportResult,
        summary="Import a CSV file",
        description=_description(limits),
        openapi_extra={"requestBody": {"required": True, "content": {CSV: {"schema": {"type": "string"}}}}},
        responses={
            413: {
                "description": f"`too-large`: more than {limits.bytes} bytes; `too-many-rows`: more than {limits.rows}"
            },
            415: {"description": f"`unsupported-media-type`: send {CSV}"},
            422: {"model": ImportProblem, "description": "`import-refused`: rows are wrong, nothing was taken"},
        },
    )
    async def post_import(
        kind: ImportKind,
        request: Request,
        caller: Writer,
        csv: Annotated[None, accepts(CSV, limit=limits.bytes)],
        why: Why,
        key: IdempotencyKey,
        dry_run: Annotated[bool, Query(description="Check everything and say what would happen; keep nothing")] = False,
        reference: Annotated[
            Reference, Query(description="The reference of rows of opening stock that name none themselves")
        ] = DEFAULT_REFERENCE,
    ) -> Response:
        sheet, digest = Sheet(kind, reference), hashlib.sha256()
        await read(_hashed(request.stream(), digest), sheet, max_rows=limits.rows)
        command = _command(kind, sheet.rows(), why)
        if dry_run:
            async with database.trial() as unit:
                result = await take_file(unit, command)
            return json_response(result.model_copy(update={"dry_run": True}))
        done = await take(command, key.of(Upload(kind=kind, sha256=digest.hexdigest(), reference=reference)))
        return json_response(done.result, replayed=done.replayed)

    @router.get(
        "/{kind}/template",
        summary="A file to start from: the columns and one example",
        response_class=Response,
        responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}},
    )
    async def get_template(kind: ImportKind, caller: Reader) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
        return Response(model.template(kind), headers=headers, media_type=CSV)

    return router


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


def _description(limits: Limits) -> str:
    columns = "\n".join(
        f"- `{kind}`: " + ", ".join(f"**{c.name}**" if c.required else c.name for c in COLUMNS[kind])
        for kind in COLUMNS
    )
    return (
        "The first row names the columns, in any order (bold ones are needed):\n\n"
        f"{columns}\n\n"
        "Items and locations that exist become what the file says; a column it does not have stays as it is. A row of "
        "opening stock counts once under its reference, so importing a file again changes nothing. Everything is taken "
        f"or nothing; at most {limits.rows} rows and {limits.bytes} bytes of UTF-8."
    )
