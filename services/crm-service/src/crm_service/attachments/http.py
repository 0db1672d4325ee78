"""Attachments over HTTP: a file is streamed in and out, and a browser never shows it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from crm_service.attachments import store, views
from crm_service.attachments.attach import Attach, Attached, UploadLost
from crm_service.attachments.model import MAX_BYTES, OCTETS, safe_type
from crm_service.attachments.store import NewAttachment
from crm_service.attachments.views import AttachmentList, AttachmentView, NoSuchAttachment
from crm_service.cases.problems import NO_SUCH_CASE
from crm_service.conventions import CRM, Reader, Writer
from crossdock_chassis import (
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    Problem,
    accepts,
    errors,
    json_response,
    new_id,
    provided,
)

MAX_PER_CASE: Final = 500
NO_SUCH_ATTACHMENT: Final = Problem(404, "no-such-attachment", "The case has no such attachment")
TOO_MANY: Final = Problem(409, "too-many-attachments", f"A case has at most {MAX_PER_CASE} attachments")
UPLOAD_LOST: Final = Problem(409, "upload-lost", "The upload took too long; send the file again")


class TooManyAttachments(Exception):
    pass


PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchAttachment: NO_SUCH_ATTACHMENT,
    TooManyAttachments: TOO_MANY,
    UploadLost: UPLOAD_LOST,
}
FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
}


class _Sent(BaseModel):
    """What an Idempotency-Key stands for."""

    name: str
    media_type: str
    internal: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class Attachments:
    """The dependencies of the routes."""

    database: Database
    attach: Coalescer[Attach, Attached]


AttachmentsDep = Annotated[Attachments, provided(Attachments)]
router = APIRouter(prefix="/v1/cases", tags=["cases"])


@router.post(
    "/{case_id}/attachments",
    status_code=201,
    dependencies=CRM,
    response_model=AttachmentView,
    responses=errors(NO_SUCH_CASE, TOO_MANY, UPLOAD_LOST),
    summary="Attach a file to a case",
)
async def post_attachment(
    case_id: UUID,
    request: Request,
    caller: Writer,
    body: Annotated[None, accepts(OCTETS, limit=MAX_BYTES, description="The bytes of the file, at most 25 MB")],
    key: IdempotencyKey,
    attachments: AttachmentsDep,
    name: Annotated[
        str, Query(min_length=1, max_length=255, description="The name of the file", examples=["photo.jpg"])
    ],
    media_type: Annotated[str, Query(max_length=129, description="Its media type")] = OCTETS,
    internal: Annotated[bool, Query(description="Staff only: partners do not see it")] = False,
) -> Response:
    """Stream the file in. It is shown once it is whole; folders in the name are dropped."""
    database, partner, id = attachments.database, caller.partner or None, new_id()
    side, internal = ("staff", internal) if partner is None else ("partner", False)
    async with database.unit() as unit:
        if await store.count(unit, case_id, partner) >= MAX_PER_CASE:
            raise TooManyAttachments(f"It has {MAX_PER_CASE}")
        await store.begin(unit, id, NewAttachment(case_id, name, media_type, side, caller.actor.who, internal))
    try:
        size, sha256 = await store.receive(database, id, request.stream())
        sent = _Sent(name=name, media_type=media_type, internal=internal, sha256=sha256.hex())
        command = Attach(id, case_id, size, sha256, caller.actor if partner is None else None)
        done = await attachments.attach(command, key.of(sent))
    except BaseException:  # also if the client has gone
        await asyncio.shield(asyncio.ensure_future(store.drop(database, id)))
        raise
    if (shown := done.result.attachment_id) != id:
        await store.drop(database, id)
    view = await _view(attachments, caller, case_id, shown)
    return json_response(view, 201, replayed=done.replayed, location=f"/v1/cases/{case_id}/attachments/{shown}")


@router.get("/{case_id}/attachments", responses=errors(NO_SUCH_CASE), summary="List the attachments of a case")
async def get_attachments(case_id: UUID, caller: Reader, attachments: AttachmentsDep) -> AttachmentList:
    async with attachments.database.unit() as unit:
        await store.count(unit, case_id, caller.partner or None)
        return await views.all_of(unit.sql, case_id, caller.partner or None)


@router.get(
    "/{case_id}/attachments/{attachment_id}",
    response_class=Response,
    responses={**FILE, **errors(NO_SUCH_ATTACHMENT)},
    summary="Download an attachment",
)
async def get_attachment(
    case_id: UUID, attachment_id: UUID, caller: Reader, attachments: AttachmentsDep
) -> StreamingResponse:
    found = await _view(attachments, caller, case_id, attachment_id)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}",
        "Content-Length": str(found.size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    content = store.chunks(attachments.database, found.id, found.size)
    return StreamingResponse(content, headers=headers, media_type=safe_type(found.media_type))


async def _view(attachments: Attachments, caller: Caller, case_id: UUID, id: UUID) -> AttachmentView:
    async with attachments.database.unit() as unit:
        return await views.get(unit.sql, case_id, caller.partner or None, id)
