"""Stopped partitions and groups over HTTP, in services with reactions. Decisions have a dry run."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Response

from crossdock_chassis.database.unit import Database
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import Cursor, Page, PageCursor, PageLimit, json_response
from crossdock_chassis.http.dead_letters import DryRun, Reason
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.messaging import stops
from crossdock_chassis.messaging.stops import (
    AlreadyDecided,
    Decide,
    Decided,
    NoSuchStop,
    Place,
    Scope,
    StopEnded,
    StoredStop,
    UnfitDecision,
)

LIST: Final = Cursor("stopped", int)


@dataclass(frozen=True, slots=True)
class Stopped:
    database: Database


StoppedDep = Annotated[Stopped, provided(Stopped)]
StopId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class Park(Reason):
    scope: Scope | None = None


class Skip(Park):
    move_to: Place | None = None


router = APIRouter(prefix="/v1/stopped", tags=["operations"])
_MISSING = NoSuchStop.problem
_DECIDING = errors(_MISSING, StopEnded.problem, AlreadyDecided.problem, UnfitDecision.problem)


def feature(database: Database) -> Feature:
    return Feature(routers=[router], provides=[Stopped(database)])


@router.get("", summary="List partitions and groups that are stopped, and the decisions that stand")
async def get_stopped(
    caller: OpsReader,
    stopped: StoppedDep,
    state: Literal["open", "all"] = "open",
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[StoredStop]:
    found = await stops.find(stopped.database, open_only=state == "open", after=LIST.decode(cursor), limit=limit + 1)
    page = found[:limit]
    return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)


@router.get("/{id}", summary="Show a stop and the decision about it", responses=errors(_MISSING))
async def get_stop(id: StopId, caller: OpsReader, stopped: StoppedDep) -> StoredStop:
    found = await stops.find(stopped.database, open_only=False, id=id)
    if not found:
        raise NoSuchStop(str(id))
    return found[0]


@router.post(
    "/{id}:skip",
    summary="Drop the record that is too new, or set a position that the log does not have",
    response_model=Decided,
    responses=_DECIDING,
)
async def skip(id: StopId, body: Skip, caller: Operator, stopped: StoppedDep, dry_run: DryRun = False) -> Response:
    command = Decide(id, "skip", caller.actor, body.reason, body.scope, body.move_to)
    return await _decide(stopped, command, dry_run)


@router.post(
    "/{id}:park",
    summary="Make the record that is too new, or the events that fail, dead letters and go on",
    response_model=Decided,
    responses=_DECIDING,
)
async def park(id: StopId, body: Park, caller: Operator, stopped: StoppedDep, dry_run: DryRun = False) -> Response:
    return await _decide(stopped, Decide(id, "park", caller.actor, body.reason, body.scope), dry_run)


@router.post(
    "/{id}:end",
    summary="End a decision; the partition or group stops again if the cause is still there",
    response_model=StoredStop,
    responses=errors(_MISSING, StopEnded.problem, UnfitDecision.problem),
)
async def end(id: StopId, body: Reason, caller: Operator, stopped: StoppedDep, dry_run: DryRun = False) -> Response:
    async with stopped.database.trial() if dry_run else stopped.database.unit() as unit:
        return json_response(await stops.withdraw(unit, id, by=caller.actor, why=body.reason))


async def _decide(stopped: Stopped, command: Decide, dry_run: bool) -> Response:
    async with stopped.database.trial() if dry_run else stopped.database.unit() as unit:
        decided = await stops.decide(unit, command, dry_run=dry_run)
    return json_response(decided)
