"""Effects over HTTP, in services with performers. Of payloads only the result of `describe` is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crossdock_chassis.database.unit import Database
from crossdock_chassis.effects import resolve
from crossdock_chassis.effects.performer import Performer
from crossdock_chassis.effects.resolve import (
    EffectNotResolvable,
    EffectResolution,
    NoSuchEffect,
    ResolveEffect,
    State,
    StoredEffect,
)
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit, json_response
from crossdock_chassis.http.dead_letters import DryRun, Reason
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.openapi import errors

Name = Annotated[str | None, Query(pattern=r"^[\x20-\x7e]+$", max_length=255)]
LIST = Cursor("effects", UUID)


@dataclass(frozen=True, slots=True)
class StoredEffects:
    database: Database
    performers: Sequence[Performer]


StoredEffectsDep = Annotated[StoredEffects, provided(StoredEffects)]
router = APIRouter(prefix="/v1/effects", tags=["operations"])
_MISSING = NoSuchEffect.problem


def feature(database: Database, performers: Sequence[Performer]) -> Feature:
    return Feature(routers=[router], provides=[StoredEffects(database, performers)])


@router.get("", summary="List mail, webhooks and other calls that this service makes after its commits")
async def get_effects(
    caller: OpsReader,
    effects: StoredEffectsDep,
    state: State | None = None,
    kind: Name = None,
    target: Name = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[StoredEffect]:
    after = LIST.decode(cursor)
    found = await resolve.find(
        effects.database, effects.performers, state=state, kind=kind, target=target, after=after, limit=limit + 1
    )
    page = found[:limit]
    return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)


@router.get("/{id}", summary="Show an effect without its payload", responses=errors(_MISSING))
async def get_effect(id: UUID, caller: OpsReader, effects: StoredEffectsDep) -> StoredEffect:
    found = await resolve.find(effects.database, effects.performers, id=id)
    if not found:
        raise NoSuchEffect(str(id))
    return found[0]


@router.post(
    "/{id}:redrive",
    summary="Perform a given-up effect again",
    response_model=EffectResolution,
    responses=errors(_MISSING, EffectNotResolvable.problem),
)
async def redrive(
    id: UUID, body: Reason, caller: Operator, effects: StoredEffectsDep, dry_run: DryRun = False
) -> Response:
    return await _resolve(effects, ResolveEffect(id, "redrive", caller.actor, body.reason), dry_run)


@router.post(
    "/{id}:discard",
    summary="Never perform an effect",
    response_model=EffectResolution,
    responses=errors(_MISSING, EffectNotResolvable.problem),
)
async def discard(
    id: UUID, body: Reason, caller: Operator, effects: StoredEffectsDep, dry_run: DryRun = False
) -> Response:
    return await _resolve(effects, ResolveEffect(id, "discard", caller.actor, body.reason), dry_run)


async def _resolve(effects: StoredEffects, command: ResolveEffect, dry_run: bool) -> Response:
    async with effects.database.trial() if dry_run else effects.database.unit() as unit:
        resolution = await resolve.resolve(unit, command, dry_run=dry_run)
    return json_response(resolution)
