"""Effects over HTTP, in every service that has performers. Scope `ops`. Of payloads only what `describe` returns."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crossdock_chassis.database.unit import Database
from crossdock_chassis.effects import resolve
from crossdock_chassis.effects.performer import Performer
from crossdock_chassis.effects.resolve import EffectResolution, NoSuchEffect, ResolveEffect, State, StoredEffect
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit, json_response
from crossdock_chassis.http.dead_letters import DryRun, Operator, Reason

Name = Annotated[str | None, Query(pattern=r"^[\x20-\x7e]+$", max_length=255)]
LIST = Cursor("effects", UUID)


def routes(database: Database, performers: Sequence[Performer]) -> APIRouter:
    router = APIRouter(prefix="/v1/effects", tags=["operations"])

    @router.get("", summary="Mail, webhooks and other calls that this service makes after its commits")
    async def get_effects(
        caller: Operator,
        state: State | None = None,
        kind: Name = None,
        target: Name = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Page[StoredEffect]:
        after = LIST.decode(cursor)
        found = await resolve.find(
            database, performers, state=state, kind=kind, target=target, after=after, limit=limit + 1
        )
        page = found[:limit]
        return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)

    @router.get("/{id}", summary="One effect, without its payload")
    async def get_effect(id: UUID, caller: Operator) -> StoredEffect:
        found = await resolve.find(database, performers, id=id)
        if not found:
            raise NoSuchEffect(str(id))
        return found[0]

    async def act(command: ResolveEffect, dry_run: bool) -> Response:
        async with database.trial() if dry_run else database.unit() as unit:
            resolution = await resolve.resolve(unit, command, dry_run=dry_run)
        return json_response(resolution)

    @router.post("/{id}:redrive", summary="Perform a given-up effect again", response_model=EffectResolution)
    async def redrive(id: UUID, body: Reason, caller: Operator, dry_run: DryRun = False) -> Response:
        return await act(ResolveEffect(id, "redrive", caller.client_id, body.reason), dry_run)

    @router.post("/{id}:discard", summary="Never perform this effect", response_model=EffectResolution)
    async def discard(id: UUID, body: Reason, caller: Operator, dry_run: DryRun = False) -> Response:
        return await act(ResolveEffect(id, "discard", caller.client_id, body.reason), dry_run)

    return router
