"""Merge, split and group cases, and ask for returns, over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from crm_service.cases import views
from crm_service.cases.model import CannotMerge
from crm_service.cases.open import Concern, Text
from crm_service.cases.problems import NO_SUCH_CASE, NOT_POSSIBLE
from crm_service.cases.views import CaseView
from crm_service.conventions import CRM, Id, Quantity, Staff
from crm_service.joining.join import AskReturn, Group, Joined, Merge, On, Split
from crossdock_chassis import (
    INVALID,
    Coalescer,
    Database,
    IdempotencyKey,
    IfMatch,
    Problem,
    cause,
    errors,
    etag,
    json_response,
    provided,
)
from crossdock_chassis import IdempotencyKey as Key
from crossdock_events import Cause

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {CannotMerge: INVALID}


@dataclass(frozen=True, slots=True)
class Joining:
    """The dependencies of the routes."""

    database: Database
    join: Coalescer[Merge | Split | Group | AskReturn, Joined]

    async def do(self, command: Merge | Split | Group | AskReturn, key: Key, body: BaseModel) -> Response:
        """Join cases, and render the case that goes on."""
        done = await self.join(command, key.of(body))
        async with self.database.unit() as unit:
            case = await views.get(unit.sql, None, done.result.case_id)
        return json_response(case, etag=etag(case.entries), replayed=done.replayed)


JoiningDep = Annotated[Joining, provided(Joining)]
Why = Annotated[Cause, cause]
router = APIRouter(prefix="/v1/cases", tags=["cases"])
JOINING: Final[dict[str, Any]] = {
    "dependencies": CRM,
    "response_model": CaseView,
    "responses": {
        200: {"headers": {"ETag": {"description": "The number of its last entry", "schema": {"type": "string"}}}},
        **errors(NO_SUCH_CASE, NOT_POSSIBLE, INVALID),
    },
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class MergeIn(_Body):
    into: Annotated[UUID, Field(strict=False, description="A case of the same customer and partner")]


class SplitIn(_Body):
    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Text
    concerns: Annotated[list[Concern], Field(max_length=100)] = []


class GroupIn(_Body):
    parent: Annotated[UUID | None, Field(strict=False, description="null for none")]


class PartIn(_Body):
    line_id: Id
    quantity: Annotated[Quantity, Field(description="In base units of the item")]


class ReturnIn(_Body):
    order_id: Annotated[UUID, Field(strict=False)]
    parts: Annotated[list[PartIn], Field(min_length=1, max_length=100)]
    reason: Literal["damaged", "wrong_item", "defective", "not_needed", "late", "other"]
    wish: Literal["refund", "replacement", "repair", "credit"]

    @model_validator(mode="after")
    def _lines_are_unique(self) -> "ReturnIn":
        if len({each.line_id for each in self.parts}) < len(self.parts):
            raise ValueError("a line is listed twice")
        return self


@router.post("/{case_id}:merge", **JOINING, summary="Merge a case into another one of the customer")
async def post_merge(
    case_id: UUID, body: MergeIn, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, joining: JoiningDep
) -> Response:
    """End the case, and return the other one, which gets its replies from now on and concerns what it concerned."""
    on = On(case_id, caller.actor, match, why)
    return await joining.do(Merge(on, body.into), key, body)


@router.post("/{case_id}:split", **JOINING, summary="Begin another case of the customer from this one")
async def post_split(
    case_id: UUID, body: SplitIn, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, joining: JoiningDep
) -> Response:
    """Return the new case, of the same kind, customer and partner."""
    on = On(case_id, caller.actor, match, why)
    return await joining.do(Split(on, body.subject, body.text, tuple(body.concerns)), key, body)


@router.post("/{case_id}:group", **JOINING, summary="Give a case a parent")
async def post_group(
    case_id: UUID, body: GroupIn, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, joining: JoiningDep
) -> Response:
    """Group cases with one reason, such as a bad lot. A parent has no parent. Partners do not see it."""
    on = On(case_id, caller.actor, match, why)
    return await joining.do(Group(on, body.parent), key, body)


@router.post("/{case_id}:ask-return", **JOINING, summary="Ask for the return of parts of an order")
async def post_ask_return(
    case_id: UUID, body: ReturnIn, caller: Staff, why: Why, key: IdempotencyKey, match: IfMatch, joining: JoiningDep
) -> Response:
    """Publish `ComplaintReturnAsked`. Whoever handles returns answers with the id of the case."""
    parts = tuple((each.line_id, each.quantity) for each in body.parts)
    asked = AskReturn(On(case_id, caller.actor, match, why), body.order_id, parts, body.reason, body.wish)
    return await joining.do(asked, key, body)
