"""Imports over HTTP: the upload of a file, which a service declares for each kind, and the state of imports."""

import asyncio
import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from crossdock_chassis.commands.coalescer import Coalescer
from crossdock_chassis.commands.idempotency import KeyReused
from crossdock_chassis.database.unit import Database, each
from crossdock_chassis.http.auth import requires, staff
from crossdock_chassis.http.conventions import (
    Cursor,
    IdempotencyKey,
    Key,
    Page,
    PageCursor,
    PageLimit,
    Wait,
    accepts,
    cause,
    json_response,
    limit_body,
)
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.hot_route import media_type
from crossdock_chassis.http.limits import limited
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.http.request import Caller
from crossdock_chassis.ids import new_id
from crossdock_chassis.imports.accept import Accept, Accepted, TooManyImports, accept, discard, receive, resume
from crossdock_chassis.imports.csv_format import Csv
from crossdock_chassis.imports.job import Importing
from crossdock_chassis.imports.kinds import ImportKind
from crossdock_chassis.imports.rows import File
from crossdock_chassis.imports.sheet import MAX_ERRORS
from crossdock_chassis.imports.sweep import run_sweep
from crossdock_chassis.imports.views import (
    ENDED,
    Import,
    ImportResult,
    NoSuchImport,
    RowErrorView,
    find_errors,
    find_import,
    find_imports,
)
from crossdock_chassis.jobs.declare import Job, Queued, every_in_units, queued
from crossdock_chassis.jobs.resolve import NotStoppable, stop_job
from crossdock_events import Cause

LIST: Final = Cursor("imports", UUID)
ERRORS: Final = Cursor("import-errors", int)
SWEEP_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05


class _Sent(BaseModel):
    """The request that an idempotency key is compared with. The digest stands for the file."""

    kind: str
    sha256: str
    dry_run: bool
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Imports:
    """The imports of a service: what its routes need, and the jobs of its worker.

    Feature(routers=[router, import_routes(…)], provides=[imports], jobs=imports.jobs)
    """

    database: Database
    kinds: Mapping[str, ImportKind]
    max_bytes: int
    job: Queued = field(init=False)
    accept: Coalescer[Accept, Accepted] = field(init=False)

    def __post_init__(self) -> None:
        job = queued("import", Importing(self.database, self.kinds).run)
        object.__setattr__(self, "job", job)
        take = Coalescer(self.database, each(accept), Accepted, limit=1, name="accept_import")
        object.__setattr__(self, "accept", take)

    @property
    def jobs(self) -> list[Job]:
        return [self.job, every_in_units(SWEEP_SECONDS, run_sweep)]


ImportsDep = Annotated[Imports, provided(Imports)]


@dataclass(frozen=True, slots=True)
class Upload:
    """A request that uploads a file. Call it with the kind of the file and the arguments of the route."""

    request: Request
    imports: Imports
    key: Key
    why: Cause
    wait: float
    dry_run: bool

    @property
    def media_type(self) -> str:
        return media_type(self.request.headers.get("content-type"))

    async def __call__(self, caller: Caller, kind: ImportKind, arguments: Mapping[str, str] | None = None) -> Response:
        """Store the file and queue its import: 202, or 200 if the import has ended within `Prefer: wait`."""
        limit_body(self.request, self.imports.max_bytes)
        database, id = self.imports.database, new_id()
        try:
            sha256, size = await receive(database, id, self.request.stream())
            file = File(id, kind.name, caller.partner, sha256, size, arguments or {}, self.dry_run, self.why)
            sent = _Sent(kind=kind.name, sha256=sha256.hex(), dry_run=self.dry_run, arguments=file.arguments)
        except BaseException:  # also if the client has gone
            await asyncio.shield(asyncio.ensure_future(discard(database, id)))
            raise
        try:
            done = await self.imports.accept(Accept(file, caller.client_id, self.imports.job), self.key.of(sent))
        except (TooManyImports, KeyReused):  # after any other error the import may exist
            await discard(database, id)
            raise
        if done.result.id != id:
            await discard(database, id)
            async with database.unit() as unit:
                await resume(unit, done.result.id, by=caller.client_id)
        return await self._answer(caller.partner, done.result.id, replayed=done.replayed)

    async def _answer(self, partner: str, id: UUID, *, replayed: bool) -> Response:
        until = time.monotonic() + self.wait
        while (found := await find_import(self.imports.database, partner, id)).state not in ENDED:
            if time.monotonic() > until:
                break
            await asyncio.sleep(LOOK_SECONDS)
        status = 200 if found.state in ENDED else 202
        return json_response(found, status, replayed=replayed, location=f"/v1/imports/{id}")


def upload_of(*media_types: str) -> Any:
    """Return the dependency of a route that takes files of these types: `upload: Annotated[Upload, upload_of(…)]`."""

    async def upload(
        request: Request,
        imports: ImportsDep,
        body: Annotated[None, accepts(*media_types)],
        key: IdempotencyKey,
        why: Annotated[Cause, cause],
        wait: Wait,
        dry_run: Annotated[
            bool, Query(description="Check the file and try its rows, show what would happen, and change nothing")
        ] = False,
    ) -> Upload:
        return Upload(request, imports, key, why, wait, dry_run)

    return Depends(upload)


UploadDep = Annotated[Upload, upload_of(Csv.media_type)]
"""A route that takes CSV: `upload: UploadDep`, then `return await upload(caller, KIND)`."""

PROMISE: Final = """\
The file is stored, and the answer is 202. `Location` shows the import. With `Prefer: wait=10` the answer is 200 if the
import ends within ten seconds.

First the whole file is checked and its rows are tried. A file with an error is `refused` and changes nothing. Then the
rows are applied in chunks. Each chunk is applied whole or not at all, and a crash repeats no chunk. A row that can no
longer be applied is an error of the result, and all other rows are applied.

Send the same file again while it has no outcome, and the answer shows the same import. An import that was stopped or
has failed then goes on. The number of rows is not limited."""


def uploads(kind: ImportKind, description: str = "") -> dict[str, Any]:
    """Return the arguments of a route that uploads files of this kind: `@router.post(path, **uploads(KIND))`."""
    columns = ", ".join(f"**{each.name}**" if each.required else each.name for each in kind.sheet().columns)
    text = f"The first row names the columns, in any order (bold columns are required): {columns}.\n\n"
    answer = {"description": "The import. It has ended, or it waits or runs", "model": ImportResult}
    return {
        "dependencies": [limited("imports", at_once=2)],
        "response_model": ImportResult,
        "status_code": 202,
        "description": "\n\n".join(part for part in (text.strip(), description, PROMISE) if part),
        "responses": {200: answer, **errors(TooManyImports.problem)},
    }


def import_routes(reader: str, writer: str, *, company: bool = False) -> APIRouter:
    """Return the routes of `/v1/imports`. They need these scopes, and show a partner its own imports only.

    With `company`, they are for tokens without a partner, and show the imports of the company.
    """
    router = APIRouter(prefix="/v1/imports", tags=["imports"])
    guard = staff if company else requires
    may_read, may_write = guard(reader), guard(writer)

    @router.get("", summary="List imports, the newest first")
    async def get_imports(
        caller: Annotated[Caller, may_read],
        imports: ImportsDep,
        kind: Annotated[str | None, Query(pattern=r"^[\x20-\x7e]+$", max_length=64)] = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[Import]:
        before = LIST.decode(cursor)
        found = await find_imports(imports.database, caller.partner, kind=kind, before=before, limit=limit + 1)
        page = found[:limit]
        return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)

    @router.get(
        "/{id}",
        summary="Show an import: its state, its progress and its first errors",
        responses=errors(NoSuchImport.problem),
    )
    async def get_import(id: UUID, caller: Annotated[Caller, may_read], imports: ImportsDep) -> ImportResult:
        return await find_import(imports.database, caller.partner, id)

    @router.get("/{id}/errors", summary="List the errors of rows", responses=errors(NoSuchImport.problem))
    async def get_errors(
        id: UUID,
        caller: Annotated[Caller, may_read],
        imports: ImportsDep,
        limit: PageLimit = 200,
        cursor: PageCursor = None,
    ) -> Page[RowErrorView]:
        after = ERRORS.decode(cursor) or 0
        found = await find_errors(imports.database, caller.partner, id, after=after, limit=limit + 1)
        page = found[:limit]
        following = ERRORS.encode(page[-1][0]) if len(found) > limit else None
        return Page(items=[error for _, error in page], next=following)

    @router.get(
        "/{id}/errors.csv",
        summary="Download all errors of rows as CSV",
        response_class=Response,
        responses={
            200: {"content": {Csv.media_type: {"schema": {"type": "string"}}}},
            **errors(NoSuchImport.problem),
        },
    )
    async def get_errors_csv(id: UUID, caller: Annotated[Caller, may_read], imports: ImportsDep) -> Response:
        found = await find_errors(imports.database, caller.partner, id, after=0, limit=MAX_ERRORS)
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerow(["row", "column", "detail"])
        lines.writerows((error.row, error.column, error.detail) for _, error in found)
        headers = {"Content-Disposition": f'attachment; filename="errors-{id}.csv"'}
        return Response(text.getvalue(), headers=headers, media_type=Csv.media_type)

    @router.post(
        "/{id}:stop",
        dependencies=[limited("imports")],
        summary="Stop an import; chunks that were applied stay. An import that has ended stays as it is",
        responses=errors(NoSuchImport.problem),
    )
    async def stop(id: UUID, caller: Annotated[Caller, may_write], imports: ImportsDep) -> ImportResult:
        found = await find_import(imports.database, caller.partner, id)
        if found.state not in ENDED:
            try:
                async with imports.database.unit() as unit:
                    await stop_job(unit, id, by=caller.client_id)
            except NotStoppable:
                pass  # it has ended meanwhile
            found = await find_import(imports.database, caller.partner, id)
        return found

    return router
