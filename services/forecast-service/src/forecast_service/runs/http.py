"""Runs over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    Coalescer,
    Database,
    IdempotencyKey,
    Number,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    errors,
    json_response,
    limited,
    provided,
)
from forecast_service.conventions import FORECASTS, ORIGIN_NOT_REACHED, DemandDay, Id, Reader, Writer
from forecast_service.places import LEVELS, SeriesLevel
from forecast_service.runs import views
from forecast_service.runs.cancel import CancelRun
from forecast_service.runs.model import (
    HORIZON,
    LONGEST_HORIZON,
    AnotherRun,
    Filter,
    NoSuchRun,
    NothingToForecast,
    OriginNotReached,
    RunEnded,
    RunForgotten,
    RunNotWhole,
    UnknownSeries,
)
from forecast_service.runs.reconcile import ReconcileRun
from forecast_service.runs.request import Requested, RequestRun
from forecast_service.runs.resume import ResumeRun
from forecast_service.runs.stream import RunStream
from forecast_service.runs.views import RunView

NO_SUCH_RUN: Final = Problem(404, "no-such-run", "No run has this id")
NOTHING_TO_FORECAST: Final = Problem(
    422, "nothing-to-forecast", "No active item that fits the filter has demand before the origin"
)
UNKNOWN_SERIES: Final = Problem(422, "unknown-series", "Some series do not exist or have no demand before the origin")
ANOTHER_RUN: Final = Problem(
    409,
    "run-in-progress",
    "Another run of these series is running; wait for its end or cancel it",
    headers={"Location": lambda error: f"/v1/runs/{error.id}"},
)
RUN_NOT_WHOLE: Final = Problem(409, "run-not-whole", "The run has some items only; reconcile a run of all items")
RUN_FORGOTTEN: Final = Problem(409, "run-forgotten", "Forecasts of the run are no longer kept; request a new one")
RUN_ENDED: Final = Problem(409, "run-ended", "The run is done; request a new one")

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchRun: NO_SUCH_RUN,
    OriginNotReached: ORIGIN_NOT_REACHED,
    NothingToForecast: NOTHING_TO_FORECAST,
    UnknownSeries: UNKNOWN_SERIES,
    AnotherRun: ANOTHER_RUN,
    RunNotWhole: RUN_NOT_WHOLE,
    RunForgotten: RUN_FORGOTTEN,
    RunEnded: RUN_ENDED,
}
STREAMS_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Runs:
    """The dependencies of the routes."""

    database: Database
    request: Coalescer[RequestRun, Requested]
    cancel: Coalescer[CancelRun, RunView]
    resume: Coalescer[ResumeRun, RunView]
    reconcile: Coalescer[ReconcileRun, RunView]


RunsDep = Annotated[Runs, provided(Runs)]
router = APIRouter(prefix="/v1/runs", tags=["runs"])


class RunIn(BaseModel):
    """Without any member, all active items are forecast from the first day that has not ended."""

    model_config = ConfigDict(extra="forbid")

    origin: Annotated[
        DemandDay | None,
        Field(
            description="The first day of the forecasts; without it, the day after the last one that ended everywhere",
        ),
    ] = None
    horizon: Annotated[int, Number(1, LONGEST_HORIZON), Field(description="Days")] = HORIZON
    item_prefix: Annotated[Id | None, Field(description="Only items whose id begins like this")] = None
    category: Annotated[Id | None, Field(description="Only items of this category")] = None
    levels: Annotated[
        list[SeriesLevel] | None,
        Field(
            min_length=1,
            max_length=len(LEVELS),
            description="Series of whole items, of items at each location, of items in each region; "
            "without it, of whole items, or of any level if `series` lists them",
        ),
    ] = None
    series: Annotated[list[UUID] | None, Field(min_length=1, max_length=1000, description="Only these series")] = None
    deadline_seconds: Annotated[
        Annotated[int, Number(1, 86_400)] | None,
        Field(description="All series get a cheap model first; the full choice follows until this time is over"),
    ] = None
    reselect: Annotated[
        bool,
        Field(description="Choose all models anew. Otherwise those of the last 7 days are only fitted again"),
    ] = False


@router.post(
    "",
    dependencies=FORECASTS,
    status_code=202,
    response_model=RunView,
    summary="Request a run: forecast all series, or some",
    responses=errors(ORIGIN_NOT_REACHED, NOTHING_TO_FORECAST, UNKNOWN_SERIES, ANOTHER_RUN),
)
async def post_run(body: RunIn, caller: Writer, key: IdempotencyKey, runs: RunsDep) -> Response:
    """Return the run. If a run with the same origin and filter is running, it is that run, and no second one is made.

    Runners forecast its series in the order of their demand, and publish each forecast that has moved.
    """
    series = None if body.series is None else tuple(body.series)
    wanted = body.levels or (LEVELS[:1] if series is None else LEVELS)
    levels = tuple(each for each in LEVELS if each in wanted)
    only = Filter(body.item_prefix, body.category, series, levels)
    command = RequestRun(body.origin, body.horizon, only, body.deadline_seconds, caller.actor, reselect=body.reselect)
    done = await runs.request(command, key.of(body))
    return json_response(done.result.run, 202, replayed=done.replayed, location=done.result.run.path)


@router.get("", summary="List runs, the newest first")
async def get_runs(caller: Reader, runs: RunsDep, cursor: PageCursor = None, limit: PageLimit = 50) -> Page[RunView]:
    before = views.RUNS.decode(cursor)
    async with runs.database.unit() as unit:
        return await views.page(unit.sql, before, limit)


@router.get("/{id}", summary="Show a run and its progress", responses=errors(NO_SUCH_RUN))
async def get_run(id: UUID, caller: Reader, runs: RunsDep) -> RunView:
    async with runs.database.unit() as unit:
        return await views.get(unit.sql, id)


@router.get(
    "/{id}/events",
    dependencies=[limited("run-events", at_once=STREAMS_AT_ONCE)],
    response_class=RunStream,
    status_code=200,
    responses={200: {"description": "Server-sent events"}, **errors(NO_SUCH_RUN)},
    summary="Follow a run live",
)
async def get_events(id: UUID, request: Request, caller: Reader, runs: RunsDep) -> Response:
    """Send the run as a message `run` at once, and after each change. The stream ends with the run."""
    async with runs.database.unit() as unit:
        await views.get(unit.sql, id)
    return RunStream(runs.database, request, id)


@router.post(
    "/{id}:cancel",
    dependencies=FORECASTS,
    summary="Cancel a run; what is published stays",
    responses=errors(NO_SUCH_RUN, RUN_ENDED, *COMMAND_PROBLEMS),
)
async def cancel(id: UUID, caller: Writer, runs: RunsDep) -> RunView:
    return (await runs.cancel(CancelRun(id, caller.actor))).result


@router.post(
    "/{id}:resume",
    dependencies=FORECASTS,
    summary="Go on with a cancelled run",
    responses=errors(NO_SUCH_RUN, RUN_ENDED, ANOTHER_RUN, *COMMAND_PROBLEMS),
)
async def resume(id: UUID, caller: Writer, runs: RunsDep) -> RunView:
    return (await runs.resume(ResumeRun(id, caller.actor))).result


@router.post(
    "/{id}:reconcile",
    dependencies=FORECASTS,
    summary="Make the forecasts of items, categories and all items agree",
    responses=errors(NO_SUCH_RUN, RUN_NOT_WHOLE, RUN_FORGOTTEN, ANOTHER_RUN, *COMMAND_PROBLEMS),
)
async def reconcile(id: UUID, caller: Writer, runs: RunsDep) -> RunView:
    """Return the run, which is running until it is done. `GET /v1/forecasts/hierarchy` shows the result.

    Forecasts of categories and of all items are made and reconciled with those of the items, at each place.
    """
    return (await runs.reconcile(ReconcileRun(id, caller.actor))).result
