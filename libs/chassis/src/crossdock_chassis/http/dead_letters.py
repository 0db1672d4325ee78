"""Dead letters over HTTP, in every service that has reactions. Scope `ops`; all with a dry run."""

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis.database.unit import Database
from crossdock_chassis.http.auth import requires
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit, json_response
from crossdock_chassis.http.request import Caller
from crossdock_chassis.messaging import dead_letters
from crossdock_chassis.messaging.dead_letters import DeadLetter, NoSuchDeadLetter, Resolution, Resolve
from crossdock_chassis.messaging.inbox import Inbox

Operator = Annotated[Caller, requires("ops")]
DryRun = Annotated[bool, Query(description="Do it, show what came of it, and undo it")]
LIST = Cursor("dead-letters", int)


class Reason(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Resend(Reason):
    value: Annotated[str, Field(max_length=900_000, description="The record's data as it should have been")]
    headers: Annotated[dict[str, str], Field(max_length=50)] = {}


def routes(database: Database, inboxes: Mapping[str, Inbox]) -> APIRouter:
    router = APIRouter(prefix="/v1/dead-letters", tags=["operations"])

    @router.get("", summary="Events that could not be handled, and those parked behind them")
    async def get_dead_letters(
        caller: Operator,
        state: Literal["poison", "parked", "redriven", "discarded"] | None = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[DeadLetter]:
        found = await dead_letters.find(database, state=state, after=LIST.decode(cursor), limit=limit + 1)
        page = found[:limit]
        return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)

    @router.get("/{id}", summary="One dead letter with its raw record")
    async def get_dead_letter(id: int, caller: Operator) -> DeadLetter:
        found = await dead_letters.find(database, state=None, after=None, limit=1, id=id)
        if not found:
            raise NoSuchDeadLetter(str(id))
        return found[0]

    async def act(command: Resolve, dry_run: bool) -> Response:
        async with database.trial() if dry_run else database.unit() as unit:
            resolution = await dead_letters.resolve(unit, command, inboxes, dry_run=dry_run)
        return json_response(resolution)

    @router.post("/{id}:redrive", summary="Handle it again, then what is parked behind it", response_model=Resolution)
    async def redrive(id: int, body: Reason, caller: Operator, dry_run: DryRun = False) -> Response:
        return await act(Resolve(id, "redrive", caller.client_id, body.reason), dry_run)

    @router.post("/{id}:discard", summary="Give it up, and handle what is parked behind it", response_model=Resolution)
    async def discard(id: int, body: Reason, caller: Operator, dry_run: DryRun = False) -> Response:
        return await act(Resolve(id, "discard", caller.client_id, body.reason), dry_run)

    @router.post("/{id}:resend", summary="Handle a mended version of it", response_model=Resolution)
    async def resend(id: int, body: Resend, caller: Operator, dry_run: DryRun = False) -> Response:
        command = Resolve(id, "resend", caller.client_id, body.reason, body.value.encode(), body.headers or None)
        return await act(command, dry_run)

    return router
