"""Cleaning over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    Coalescer,
    Database,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    errors,
    provided,
)
from forecast_service.cleaning import views
from forecast_service.cleaning.judge import Judge
from forecast_service.cleaning.model import NoSuchDecision, NoSuchSeries, NotPinnable
from forecast_service.cleaning.views import DecisionView
from forecast_service.conventions import FORECASTS, Day, Reader, Writer

NO_SUCH_SERIES: Final = Problem(404, "no-such-series", "No series has this id")
NO_SUCH_DECISION: Final = Problem(404, "no-such-decision", "Nothing was cleaned on this day")
NOT_PINNABLE: Final = Problem(409, "decision-not-pinnable", "A decision that a series has ended cannot be pinned")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchSeries: NO_SUCH_SERIES,
    NoSuchDecision: NO_SUCH_DECISION,
    NotPinnable: NOT_PINNABLE,
}


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The dependencies of the routes."""

    database: Database
    judge: Coalescer[Judge, DecisionView]


CleaningDep = Annotated[Cleaning, provided(Cleaning)]
router = APIRouter(prefix="/v1/series/{series_id}/cleaning", tags=["forecasts"])


@router.get("", summary="List what was cleaned of a series, and why", responses=errors(NO_SUCH_SERIES))
async def get_cleaning(
    series_id: UUID, caller: Reader, cleaning: CleaningDep, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[DecisionView]:
    """Return the decisions of the last run and those that a person has judged, the newest day first."""
    before = views.CURSOR.decode(cursor)
    async with cleaning.database.unit() as unit:
        return await views.page(unit.sql, series_id, before, limit)


@router.post(
    "/{day}:undo",
    dependencies=FORECASTS,
    summary="Undo a decision: the next runs learn the demand as it was",
    responses=errors(NO_SUCH_SERIES, NO_SUCH_DECISION, *COMMAND_PROBLEMS),
)
async def undo(series_id: UUID, day: Day, caller: Writer, cleaning: CleaningDep) -> DecisionView:
    return (await cleaning.judge(Judge(series_id, day, "undone", caller.actor))).result


@router.post(
    "/{day}:pin",
    dependencies=FORECASTS,
    summary="Pin a decision: the next runs learn its value, whatever they find",
    responses=errors(NO_SUCH_SERIES, NO_SUCH_DECISION, NOT_PINNABLE, *COMMAND_PROBLEMS),
)
async def pin(series_id: UUID, day: Day, caller: Writer, cleaning: CleaningDep) -> DecisionView:
    return (await cleaning.judge(Judge(series_id, day, "pinned", caller.actor))).result


@router.post(
    "/{day}:reset",
    dependencies=FORECASTS,
    summary="Leave a day to the runs again",
    responses=errors(NO_SUCH_SERIES, NO_SUCH_DECISION, *COMMAND_PROBLEMS),
)
async def reset(series_id: UUID, day: Day, caller: Writer, cleaning: CleaningDep) -> DecisionView:
    return (await cleaning.judge(Judge(series_id, day, None, caller.actor))).result
