"""Overrides over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    INVALID,
    Coalescer,
    Database,
    IdempotencyKey,
    Number,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    Refusal,
    Timestamp,
    errors,
    json_response,
    provided,
)
from forecast_service.conventions import FORECASTS, DemandDay, Id, Reader, Writer
from forecast_service.overrides import views
from forecast_service.overrides.model import (
    MOST,
    InvalidOverride,
    Kind,
    Level,
    NoSuchOverride,
    NothingToOverride,
    Overlapping,
    OverrideEnded,
    Status,
    Target,
    Terms,
)
from forecast_service.overrides.place import PlaceOverride
from forecast_service.overrides.views import OverrideView
from forecast_service.overrides.withdraw import WithdrawOverride

NO_SUCH_OVERRIDE: Final = Problem(404, "no-such-override", "No override has this id")
INVALID_OVERRIDE: Final = Problem(422, "invalid-override", "The value or the days of the override are impossible")
NOTHING_TO_OVERRIDE: Final = Problem(422, "nothing-to-override", "No active item that fits has a forecast")
OVERLAPPING: Final = Problem(
    409,
    "override-overlaps",
    "Another override of this target has a day in common; withdraw it first",
    headers={"Location": lambda error: f"/v1/overrides/{error.id}"},
)
OVERRIDE_ENDED: Final = Problem(409, "override-ended", "The override is expired")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchOverride: NO_SUCH_OVERRIDE,
    InvalidOverride: INVALID_OVERRIDE,
    NothingToOverride: NOTHING_TO_OVERRIDE,
    Overlapping: OVERLAPPING,
    OverrideEnded: OVERRIDE_ENDED,
}


@dataclass(frozen=True, slots=True)
class Overrides:
    """The dependencies of the routes."""

    database: Database
    place: Coalescer[PlaceOverride, OverrideView]
    withdraw: Coalescer[WithdrawOverride, OverrideView]


OverridesDep = Annotated[Overrides, provided(Overrides)]
router = APIRouter(prefix="/v1/overrides", tags=["overrides"])


class OverrideIn(BaseModel):
    """`level` is `item` with an `item_id`, `category` with a `category`, or `total` for all items."""

    model_config = ConfigDict(extra="forbid")

    level: Level
    item_id: Id | None = None
    category: Id | None = None
    location_id: Annotated[Id | None, Field(description="Only at this location; the forecasts of whole items stay")] = (
        None
    )
    kind: Annotated[
        Kind, Field(description="absolute: the sum of the days; add: to their sum; percent: change of each day")
    ]
    value: Annotated[
        Annotated[float, Number(-MOST, MOST, places=6)],
        Field(description="Whole base units, or at least -100 percent"),
    ]
    first_day: DemandDay
    last_day: DemandDay
    why: Annotated[str, Field(min_length=1, max_length=500, description="It is stored here, and in no event")]
    expires_at: Annotated[Timestamp | None, Field(description="From then on the forecast is the model's again")] = None

    def target(self) -> Target:
        """Return the target. Raise Refusal if the ids do not fit the level."""
        for name, given in (("item", self.item_id), ("category", self.category)):
            field = "item_id" if name == "item" else name
            if (given is not None) != (self.level == name):
                detail = f"is needed for the level {name}" if given is None else f"must be absent for {self.level}"
                raise Refusal(INVALID, errors=[{"pointer": f"/{field}", "detail": detail, "code": "level"}])
        return Target(self.item_id, self.category, self.location_id)


@router.post(
    "",
    dependencies=FORECASTS,
    status_code=201,
    response_model=OverrideView,
    summary="Override the forecast of an item, a category or all items",
    responses=errors(INVALID_OVERRIDE, NOTHING_TO_OVERRIDE, OVERLAPPING),
)
async def post_override(body: OverrideIn, caller: Writer, key: IdempotencyKey, overrides: OverridesDep) -> Response:
    """Return the override. The forecasts that it changes are published at once, and runs keep it until it ends.

    A category and a total are spread by the forecasts of their items. Items that come later are not part of it.
    """
    terms = Terms(body.kind, body.value, body.first_day, body.last_day)
    command = PlaceOverride(body.target(), terms, body.why, body.expires_at, caller.actor)
    done = await overrides.place(command, key.of(body))
    return json_response(done.result, 201, replayed=done.replayed, location=done.result.path)


@router.get("", summary="List overrides, the newest first")
async def get_overrides(
    caller: Reader,
    overrides: OverridesDep,
    item_id: Annotated[Id | None, Query(description="Only those of this item itself")] = None,
    category: Annotated[Id | None, Query(description="Only those of this category itself")] = None,
    status: Annotated[Status | None, Query(description="Only those with this status")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[OverrideView]:
    before = views.OVERRIDES.decode(cursor)
    async with overrides.database.unit() as unit:
        return await views.page(unit.sql, before, limit, item_id, category, status)


@router.get("/{id}", summary="Show an override", responses=errors(NO_SUCH_OVERRIDE))
async def get_override(id: UUID, caller: Reader, overrides: OverridesDep) -> OverrideView:
    async with overrides.database.unit() as unit:
        return await views.get(unit.sql, id)


@router.post(
    "/{id}:withdraw",
    dependencies=FORECASTS,
    summary="Withdraw an override: the forecast is the model's again",
    responses=errors(NO_SUCH_OVERRIDE, OVERRIDE_ENDED, *COMMAND_PROBLEMS),
)
async def withdraw(id: UUID, caller: Writer, overrides: OverridesDep) -> OverrideView:
    return (await overrides.withdraw(WithdrawOverride(id, caller.actor))).result
