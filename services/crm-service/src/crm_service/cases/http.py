"""Cases over HTTP: parse, call, render."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from crm_service.cases import views
from crm_service.cases.act import Act, Acted
from crm_service.cases.model import Case, Did, NoSuchCase, NotPossible, Status, WrongReference
from crm_service.cases.open import CaseDraft, OpenCase, Opened, Text
from crm_service.cases.problems import NO_SUCH_CASE, NOT_POSSIBLE
from crm_service.cases.views import Asked, CaseSummary, CaseView
from crm_service.conventions import CRM, Reader, Staff, Writer
from crm_service.customers.problems import CUSTOMER_ERASED
from crossdock_chassis import (
    INVALID,
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    IfMatch,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    Together,
    Unit,
    cause,
    errors,
    etag,
    json_response,
    provided,
)
from crossdock_chassis import IdempotencyKey as Key
from crossdock_chassis import IfMatch as Match
from crossdock_events import Cause
from crossdock_events.cases import CaseEvent

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchCase: NO_SUCH_CASE,
    NotPossible: NOT_POSSIBLE,
    WrongReference: INVALID,
}


@dataclass(frozen=True, slots=True)
class Cases:
    """The dependencies of the routes."""

    database: Database
    see: Together[Asked, CaseView]
    open: Coalescer[OpenCase, Opened]
    act: Coalescer[Act, Acted]

    async def do(
        self,
        did: Did,
        change: Callable[[Case, Unit], list[CaseEvent]],
        asked: tuple[UUID, Caller, Cause, Key, Match],
        body: BaseModel | None = None,
        text: str | None = None,
    ) -> Response:
        """Act on a case and render it. `text` becomes the text of the entry."""
        id, caller, why, key, match = asked
        done = await self.act(
            Act(id, caller.partner or None, did, change, text, caller.actor, match, why), key.of(body)
        )
        return await self.show(caller, done.result.case_id, replayed=done.replayed)

    async def show(self, caller: Caller, id: UUID, status: int = 200, **headers: Any) -> Response:
        case = await self.see((caller.partner or None, id))
        if case is None:
            raise NoSuchCase(f"None of your cases has the id {id}")
        return json_response(case, status, etag=etag(case.entries), **headers)


CasesDep = Annotated[Cases, provided(Cases)]
Why = Annotated[Cause, cause]
router = APIRouter(prefix="/v1/cases", tags=["cases"])
_ETAG: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": {"description": "The number of its last entry", "schema": {"type": "string"}}}}
}
ACTING: Final[dict[str, Any]] = {
    "dependencies": CRM,
    "response_model": CaseView,
    "responses": {**_ETAG, **errors(NO_SUCH_CASE, NOT_POSSIBLE)},
}
REOPENING: Final[dict[str, Any]] = {
    **ACTING,
    "responses": {**_ETAG, **errors(NO_SUCH_CASE, NOT_POSSIBLE, CUSTOMER_ERASED)},
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Message(_Body):
    text: Text


class Assignment(_Body):
    to: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Wait(_Body):
    what: Literal["customer", "partner", "inside"]


class Closing(_Body):
    root_cause: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")]


@router.get("", summary="List cases, newest first")
async def get_cases(
    caller: Reader,
    cases: CasesDep,
    status: Annotated[Status | None, Query(description="Only with this status")] = None,
    customer_id: Annotated[UUID | None, Query(description="Only of this customer")] = None,
    parent: Annotated[UUID | None, Query(description="Only those with this parent; for staff")] = None,
    number: Annotated[int | None, Query(ge=1, lt=2**63, description="Only with this number")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[CaseSummary]:
    async with cases.database.unit() as unit:
        return await views.page(
            unit.sql,
            caller.partner or None,
            cursor,
            limit,
            status=status,
            customer_id=customer_id,
            number=number,
            parent=parent,
        )


@router.post(
    "",
    status_code=201,
    dependencies=CRM,
    response_model=CaseView,
    responses={
        201: {"headers": {"Location": {"description": "The case", "schema": {"type": "string"}}}},
        **errors(INVALID),
    },
    summary="Open a case",
)
async def post_case(body: CaseDraft, caller: Writer, why: Why, key: IdempotencyKey, cases: CasesDep) -> Response:
    """Open an enquiry, a service request or a complaint. A partner names its own customers and orders only."""
    done = await cases.open(OpenCase(body, caller.partner or None, caller.actor, why), key.of(body))
    id = done.result.case_id
    return await cases.show(caller, id, 201, replayed=done.replayed, location=f"/v1/cases/{id}")


@router.get("/{case_id}", response_model=CaseView, responses={**_ETAG, **errors(NO_SUCH_CASE)}, summary="Show a case")
async def get_case(case_id: UUID, caller: Reader, cases: CasesDep) -> Response:
    return await cases.show(caller, case_id)


@router.post("/{case_id}:reply", **REOPENING, summary="Add a message of the customer")
async def post_reply(
    case_id: UUID, body: Message, caller: Writer, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    """End a wait for the customer, or reopen a resolved case.

    A merged case hands it to the case that it was merged into. A closed case, or one that was resolved long ago, is
    followed by another one. The answer is the case that has the message.
    """
    asked = case_id, caller, why, key, match
    return await cases.do(Did.REPLIED, lambda case, _: case.reply(), asked, body, body.text)


@router.post("/{case_id}:assign", **ACTING, summary="Give a case to a person")
async def post_assign(
    case_id: UUID, body: Assignment, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.ASSIGNED, lambda case, _: case.assign(body.to), asked, body, body.to)


@router.post("/{case_id}:note", **ACTING, summary="Add a note, which no customer and no partner sees")
async def post_note(
    case_id: UUID, body: Message, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.NOTED, lambda case, _: case.note(), asked, body, body.text)


@router.post("/{case_id}:answer", **ACTING, summary="Answer the customer, by mail if there is an address")
async def post_answer(
    case_id: UUID, body: Message, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.ANSWERED, lambda case, _: case.answer(), asked, body, body.text)


@router.post("/{case_id}:wait", **ACTING, summary="Wait for the customer, the partner or somebody inside")
async def post_wait(
    case_id: UUID, body: Wait, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.WAITED, lambda case, _: case.wait(body.what), asked, body)


@router.post("/{case_id}:escalate", **ACTING, summary="Escalate a case by one level")
async def post_escalate(
    case_id: UUID, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    """Leave out the step of the clock to this level, if it comes later."""
    asked = case_id, caller, why, key, match
    return await cases.do(Did.ESCALATED, lambda case, _: case.escalate(by_clock=False), asked)


@router.post("/{case_id}:resume", **ACTING, summary="End the wait")
async def post_resume(
    case_id: UUID, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.RESUMED, lambda case, _: case.resume(), asked)


@router.post("/{case_id}:resolve", **ACTING, summary="Resolve a case")
async def post_resolve(
    case_id: UUID, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.RESOLVED, lambda case, unit: case.resolve(unit.now), asked)


@router.post("/{case_id}:reopen", **REOPENING, summary="Reopen a resolved case")
async def post_reopen(
    case_id: UUID, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    asked = case_id, caller, why, key, match
    return await cases.do(Did.REOPENED, lambda case, _: case.reopen(), asked)


@router.post("/{case_id}:close", **ACTING, summary="Close a resolved case with its root cause")
async def post_close(
    case_id: UUID, body: Closing, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, cases: CasesDep
) -> Response:
    """Close the case. A later reply begins another one."""
    asked = case_id, caller, why, key, match
    return await cases.do(Did.CLOSED, lambda case, _: case.close(body.root_cause), asked, body)
