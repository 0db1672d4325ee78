"""Introductions over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    INVALID,
    Coalescer,
    Database,
    Number,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    Refusal,
    errors,
    provided,
)
from forecast_service.conventions import FORECASTS, DemandDay, Id, Reader, Writer
from forecast_service.introductions import views
from forecast_service.introductions.change import ChangeIntroduction, Stated
from forecast_service.introductions.model import (
    LONGEST_RAMP,
    MOST_LIKE,
    Base,
    Introduction,
    InvalidIntroduction,
    NoSuchIntroduction,
    NoSuchItem,
)
from forecast_service.introductions.views import IntroductionView

NO_SUCH_ITEM: Final = Problem(404, "no-such-item", "No item has this id")
NO_SUCH_INTRODUCTION: Final = Problem(404, "no-such-introduction", "Nothing is stated about how this item begins")
INVALID_INTRODUCTION: Final = Problem(
    422, "invalid-introduction", "The introduction contradicts itself or those of other items"
)
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchItem: NO_SUCH_ITEM,
    NoSuchIntroduction: NO_SUCH_INTRODUCTION,
    InvalidIntroduction: INVALID_INTRODUCTION,
}


@dataclass(frozen=True, slots=True)
class Introductions:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[ChangeIntroduction, Stated]


IntroductionsDep = Annotated[Introductions, provided(Introductions)]
router = APIRouter(prefix="/v1/introductions", tags=["introductions"])


class LikeIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item_id: Id
    weight: Annotated[float, Number(0.0001, 1, places=6), Field(description="The weights add up to 1")]


class IntroductionIn(BaseModel):
    """Either `successor_of` or `like`. History of these items counts until the new item has its own."""

    model_config = ConfigDict(extra="forbid")

    successor_of: Annotated[Id | None, Field(description="The item that this one replaces")] = None
    like: Annotated[
        list[LikeIn], Field(max_length=MOST_LIKE, description="Items whose demand is expected to be alike")
    ] = Field(default=[])
    scale: Annotated[
        float, Number(0.001, 1_000, places=6), Field(description="The expected demand as a multiple of theirs")
    ] = 1
    start: Annotated[DemandDay | None, Field(description="Without it, the first day with demand")] = None
    ramp_days: Annotated[
        int, Number(0, LONGEST_RAMP), Field(description="From the start, demand grows evenly for so many days")
    ] = 0

    def introduction(self, item_id: str) -> Introduction:
        """Raise Refusal unless it has either `successor_of` or `like`."""
        if (self.successor_of is None) == (not self.like):
            detail = "state the item that it replaces or items that it is like, and not both"
            raise Refusal(INVALID, errors=[{"pointer": "/successor_of", "detail": detail, "code": "one_of"}])
        like = [Base(each.item_id, each.weight) for each in self.like]
        bases = tuple(like) if self.successor_of is None else (Base(self.successor_of, 1.0),)
        return Introduction(
            item_id, bases, self.successor_of is not None, float(self.scale), self.start, self.ramp_days
        )


@router.get("", summary="List what is stated about new items, by item")
async def get_introductions(
    caller: Reader, introductions: IntroductionsDep, cursor: PageCursor = None, limit: PageLimit = 100
) -> Page[IntroductionView]:
    after = views.INTRODUCTIONS.decode(cursor)
    async with introductions.database.unit() as unit:
        return await views.page(unit.sql, after, limit)


@router.get("/{item_id}", summary="Show how a new item begins", responses=errors(NO_SUCH_INTRODUCTION))
async def get_introduction(item_id: str, caller: Reader, introductions: IntroductionsDep) -> IntroductionView:
    async with introductions.database.unit() as unit:
        return await views.get(unit.sql, item_id)


@router.put(
    "/{item_id}",
    dependencies=FORECASTS,
    summary="State that a new item replaces another one, or is like some",
    response_model=IntroductionView,
    responses=errors(NO_SUCH_ITEM, INVALID_INTRODUCTION, *COMMAND_PROBLEMS),
)
async def put_introduction(
    item_id: str, body: IntroductionIn, caller: Writer, introductions: IntroductionsDep
) -> IntroductionView | None:
    """Return it. The next run uses it: each forecast takes over the history of the items that are named here."""
    command = ChangeIntroduction(item_id, body.introduction(item_id), caller.actor)
    return (await introductions.change(command)).result.introduction


@router.delete(
    "/{item_id}",
    dependencies=FORECASTS,
    status_code=204,
    summary="Take back what is stated about a new item",
    responses=errors(*COMMAND_PROBLEMS),
)
async def delete_introduction(item_id: str, caller: Writer, introductions: IntroductionsDep) -> Response:
    """Remove it. If nothing is stated, this is no error."""
    await introductions.change(ChangeIntroduction(item_id, None, caller.actor))
    return Response(status_code=204)
