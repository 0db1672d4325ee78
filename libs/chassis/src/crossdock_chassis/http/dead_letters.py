"""Dead letters over HTTP, in services with reactions. Resolutions have a dry run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis.commands.coalescer import Coalescer
from crossdock_chassis.database.actions import record_action
from crossdock_chassis.database.unit import Database, each
from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import Operator, OpsReader
from crossdock_chassis.http.conventions import (
    Cursor,
    IdempotencyKey,
    Page,
    PageCursor,
    PageLimit,
    json_response,
)
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.http.openapi import errors
from crossdock_chassis.http.request import Caller
from crossdock_chassis.jobs.resolve import NoSuchJob, StoredJob
from crossdock_chassis.messaging import dead_letters
from crossdock_chassis.messaging.dead_letters import (
    DeadLetter,
    NoSuchDeadLetter,
    NotPoison,
    Resolution,
    Resolve,
    StillPoison,
)
from crossdock_chassis.messaging.fingerprints import FailureCause, find_causes
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.redrive import (
    DeadLetterResult,
    DryRunResult,
    Many,
    Outcome,
    Wanted,
    find_results,
    request_many,
    request_rest,
    try_many,
)

LIST: Final = Cursor("dead-letters", int)
RESULTS: Final = Cursor("dead-letter-results", int)
CAUSES: Final = Cursor("dead-letter-causes", str)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    database: Database
    inboxes: Mapping[str, Inbox]
    request: Coalescer[Wanted, StoredJob]


DeadLettersDep = Annotated[DeadLetters, provided(DeadLetters)]
Fingerprint = Annotated[
    str | None, Query(pattern="^[0-9a-f]{12}$", description="Event type, exception and line of a failure")
]
LetterId = Annotated[int, Path(ge=1, le=2**63 - 1)]
DryRun = Annotated[bool, Query(description="Resolve it, answer the result, and roll everything back")]


class Reason(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Resend(Reason):
    value: Annotated[str, Field(max_length=900_000, description="The corrected data of the record")]
    headers: Annotated[dict[str, str], Field(max_length=50)] = {}


router = APIRouter(prefix="/v1/dead-letters", tags=["operations"])
_MISSING = NoSuchDeadLetter.problem


def feature(database: Database, inboxes: Mapping[str, Inbox]) -> Feature:
    request = Coalescer(database, each(request_many), StoredJob, limit=1, name="resolve_dead_letters")
    return Feature(routers=[router], provides=[DeadLetters(database, inboxes, request)])


@router.get("", summary="List events that failed or are retried, and the events that wait behind them")
async def get_dead_letters(
    caller: OpsReader,
    letters: DeadLettersDep,
    state: dead_letters.State | None = None,
    fingerprint: Fingerprint = None,
    key: Annotated[
        str | None, Query(min_length=1, max_length=250, description="Only events of this key that are not resolved")
    ] = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[DeadLetter]:
    found = await dead_letters.find(
        letters.database,
        state=state,
        fingerprint=fingerprint,
        after=LIST.decode(cursor),
        limit=limit + 1,
        key=None if key is None else key.encode(),
    )
    page = found[:limit]
    return Page(items=page, next=LIST.encode(page[-1].id) if len(found) > limit else None)


@router.get("/causes", summary="List why events failed: one entry for each fingerprint")
async def get_causes(
    caller: OpsReader,
    letters: DeadLettersDep,
    fingerprint: Fingerprint = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[FailureCause]:
    """Return the poison events by fingerprint, each with its number, the keys held, the first, the last and an example.

    `/v1/dead-letters?state=poison&fingerprint=…` lists the events, and `/v1/dead-letters:resolve` resolves them all.
    """
    async with letters.database.unit() as unit:
        found = await find_causes(unit.sql, after=CAUSES.decode(cursor), limit=limit + 1, only=fingerprint)
    page = found[:limit]
    return Page(items=page, next=CAUSES.encode(page[-1].fingerprint) if len(found) > limit else None)


@router.post(
    ":resolve",
    summary="Redrive, resend or discard many dead letters in a job",
    description="Name the records by their ids, or select all poison records with one fingerprint. Events parked "
    "behind a record are handled after it, in their order. `/v1/jobs/{id}` shows the progress of the job, stops and "
    "resumes it. The job ends early if record after record fails for one reason. A dry run counts the records and "
    "tries the first ones.",
    status_code=202,
    response_model=StoredJob,
    responses={
        200: {"model": DryRunResult, "description": "The result of a dry run"},
        202: {
            "description": "The job is queued",
            "headers": {"Location": {"description": "The job", "schema": {"type": "string"}}},
        },
    },
)
async def resolve_many(
    body: Annotated[Many, Body(discriminator="action")],
    caller: Operator,
    key: IdempotencyKey,
    letters: DeadLettersDep,
    dry_run: DryRun = False,
) -> Response:
    wanted = Wanted(body, caller.actor)
    if dry_run:
        return json_response(await try_many(letters.database, wanted, letters.inboxes))
    done = await letters.request(wanted, key.of(body))
    return json_response(done.result, 202, replayed=done.replayed, location=f"/v1/jobs/{done.result.id}")


@router.get("/results/{job}", summary="List the results of a job by record", responses=errors(NoSuchJob.problem))
async def get_results(
    job: UUID,
    caller: OpsReader,
    letters: DeadLettersDep,
    outcome: Outcome | None = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[DeadLetterResult]:
    after = RESULTS.decode(cursor)
    found = await find_results(letters.database, job, outcome=outcome, after=after, limit=limit + 1)
    page = found[:limit]
    return Page(items=page, next=RESULTS.encode(page[-1].id) if len(found) > limit else None)


@router.get("/{id}", summary="Show a dead letter with its raw record", responses=errors(_MISSING))
async def get_dead_letter(id: LetterId, caller: OpsReader, letters: DeadLettersDep) -> DeadLetter:
    found = await dead_letters.find(letters.database, id=id)
    if not found:
        raise NoSuchDeadLetter(str(id))
    return found[0]


@router.get(
    "/{id}/value",
    summary="Return the data of a dead letter as it is",
    response_class=Response,
    responses={
        200: {
            "description": "The bytes of the record",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        **errors(_MISSING),
    },
)
async def get_value(id: LetterId, caller: OpsReader, letters: DeadLettersDep) -> Response:
    found = await dead_letters.find_value(letters.database, id)
    name = f'attachment; filename="dead-letter-{id}.bin"'
    return Response(found, media_type="application/octet-stream", headers={"Content-Disposition": name})


@router.post(
    "/{id}:redrive",
    summary="Handle a poison event again, then the events parked behind it",
    response_model=Resolution,
    responses=errors(_MISSING, NotPoison.problem, StillPoison.problem),
)
async def redrive(
    id: LetterId, body: Reason, caller: Operator, letters: DeadLettersDep, dry_run: DryRun = False
) -> Response:
    return await _resolve(letters, caller, body, Resolve(id, "redrive"), dry_run)


@router.post(
    "/{id}:discard",
    summary="Give up a poison event and handle the events parked behind it",
    response_model=Resolution,
    responses=errors(_MISSING, NotPoison.problem),
)
async def discard(
    id: LetterId, body: Reason, caller: Operator, letters: DeadLettersDep, dry_run: DryRun = False
) -> Response:
    return await _resolve(letters, caller, body, Resolve(id, "discard"), dry_run)


@router.post(
    "/{id}:resend",
    summary="Handle a corrected copy of a poison event, then the events parked behind it",
    response_model=Resolution,
    responses=errors(_MISSING, NotPoison.problem, StillPoison.problem),
)
async def resend(
    id: LetterId, body: Resend, caller: Operator, letters: DeadLettersDep, dry_run: DryRun = False
) -> Response:
    command = Resolve(id, "resend", body.value.encode(), body.headers or None)
    return await _resolve(letters, caller, body, command, dry_run)


async def _resolve(letters: DeadLetters, caller: Caller, body: Reason, command: Resolve, dry_run: bool) -> Response:
    async with letters.database.trial() if dry_run else letters.database.unit() as unit:
        done = await dead_letters.resolve(unit, command, letters.inboxes)
        job = None if dry_run else await request_rest(unit, caller.actor, body.reason, done)
        after: dict[str, object] = {"state": done.state, "applied": len(done.applied), "left": done.left, "job": job}
        if command.value is not None:
            after |= {"headers": command.headers, "value": dead_letters.shown(command.value)}
        await record_action(
            unit,
            caller.actor,
            f"dead-letter:{command.action}",
            f"/v1/dead-letters/{command.id}",
            why=body.reason,
            before=done.was,
            after=after,
        )
    resolution = Resolution(
        id=command.id,
        state=done.state,
        applied=len(done.applied),
        published=[envelope.event.ce_type for envelope in unit.published],
        left=done.left,
        failure=None if done.poison is None else done.poison[1].reason,
        job=job,
        dry_run=dry_run,
    )
    return json_response(resolution)
