"""Mails over HTTP: a mail server hands them over, and staff list and read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from crm_service.conventions import CRM, Staff
from crm_service.customers.personal import PII, eyes_of, note_read
from crm_service.customers.reach import EMAIL
from crm_service.mail import views
from crm_service.mail.receive import MAX_BYTES, Received, ReceiveMail
from crm_service.mail.views import MailSummary, MailText, MailView, NoSuchMail, State
from crossdock_chassis import (
    COMMAND_PROBLEMS,
    Caller,
    Coalescer,
    Database,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    accepts,
    errors,
    json_response,
    provided,
    staff,
)

RFC822: Final = "message/rfc822"
NO_SUCH_MAIL: Final = Problem(404, "no-such-mail", "No mail has this id")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchMail: NO_SUCH_MAIL}
Original = Annotated[None, accepts(RFC822, limit=MAX_BYTES, description="The mail as it came (RFC 5322)")]
AS_IT_CAME: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {RFC822: {"schema": {"type": "string"}}}}}


@dataclass(frozen=True, slots=True)
class Mails:
    """The dependencies of the routes."""

    database: Database
    receive: Coalescer[ReceiveMail, Received]


Unmasked = Annotated[Caller, staff(PII)]
MailsDep = Annotated[Mails, provided(Mails)]
router = APIRouter(prefix="/v1/mail", tags=["mail"])


@router.post(
    "",
    status_code=201,
    dependencies=CRM,
    response_model=Received,
    responses={200: {"model": Received, "description": "It was stored before"}, **errors(*COMMAND_PROBLEMS)},
    summary="Hand over a mail",
)
async def post_mail(
    request: Request,
    caller: Staff,
    body: Original,
    mails: MailsDep,
    recipient: Annotated[
        str, Query(max_length=254, pattern=EMAIL, description="The address of the desk", examples=["support@crm.test"])
    ],
) -> Response:
    """Store the mail. It is read afterwards. The same mail for the same recipient is stored once."""
    done = (await mails.receive(ReceiveMail(await request.body(), recipient))).result
    return json_response(done, 201 if done.new else 200)


@router.get("", summary="List mails, newest first")
async def get_mails(
    caller: Staff,
    mails: MailsDep,
    state: Annotated[State | None, Query(description="Only with this state; unreadable ones need a person")] = None,
    case_id: Annotated[UUID | None, Query(description="Only of this case")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[MailView]:
    """Return mails. The addresses of customers are masked without `pii:read`."""
    eyes = eyes_of(caller)
    async with mails.database.unit() as unit:
        page = await views.page(unit.sql, cursor, limit, eyes, state=state, case_id=case_id)
        if page.items:
            await note_read(unit, caller, eyes, "/v1/mail", ids=[each.id for each in page.items])
    return page


@router.get("/summary", summary="Count mails out by state and reason")
async def get_summary(caller: Staff, mails: MailsDep) -> MailSummary:
    async with mails.database.unit() as unit:
        return await views.summary(unit.sql)


@router.get("/{mail_id}", responses=errors(NO_SUCH_MAIL), summary="Show a mail with its cleaned HTML")
async def get_mail(mail_id: UUID, caller: Staff, mails: MailsDep) -> MailText:
    eyes = eyes_of(caller)
    async with mails.database.unit() as unit:
        mail = await views.get(unit.sql, mail_id, eyes)
        await note_read(unit, caller, eyes, f"/v1/mail/{mail_id}")
    return mail


@router.get(
    "/{mail_id}/original",
    response_class=Response,
    responses={**AS_IT_CAME, **errors(NO_SUCH_MAIL)},
    summary="Download a mail as it came or went",
)
async def get_original(mail_id: UUID, caller: Unmasked, mails: MailsDep) -> Response:
    """Return all that the mail has, with addresses. So it needs `pii:read`, and is audited."""
    eyes = eyes_of(caller)
    async with mails.database.unit() as unit:
        raw = await views.original(unit.sql, mail_id)
        await note_read(unit, caller, eyes, f"/v1/mail/{mail_id}/original")
    headers = {"Content-Disposition": f'attachment; filename="{mail_id}.eml"'}
    return Response(raw, headers=headers, media_type=RFC822)
