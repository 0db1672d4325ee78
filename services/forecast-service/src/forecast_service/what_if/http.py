"""What-ifs over HTTP."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    INVALID,
    Coalescer,
    Database,
    Number,
    Problem,
    Refusal,
    errors,
    limited,
    provided,
)
from forecast_service.calendar.model import Kind
from forecast_service.conventions import ORIGIN_NOT_REACHED, DemandDay, Id, PlannedDay, Reader, Region
from forecast_service.drivers.kinds import MOST, Name
from forecast_service.drivers.model import Driver, faults
from forecast_service.fitting.series import QUANTILES
from forecast_service.runs.model import LONGEST_HORIZON
from forecast_service.what_if import store
from forecast_service.what_if.ask import Ask, Asking
from forecast_service.what_if.model import LikeItem, NoAnswer, NotComputed, NothingChanges, UnknownItem, own_day

UNKNOWN_ITEM: Final = Problem(422, "unknown-item", "An item is not registered")
NOTHING_CHANGES: Final = Problem(422, "nothing-changes", "No change is on a day of the forecast")
NO_ANSWER: Final = Problem(
    503,
    "no-answer",
    "No runner has answered in time; send the same request again",
    headers={"Retry-After": "10"},
)
NOT_COMPUTED: Final = Problem(
    503, "not-computed", "The forecast failed; try other changes", headers={"Retry-After": "60"}
)
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    UnknownItem: UNKNOWN_ITEM,
    NothingChanges: NOTHING_CHANGES,
    NoAnswer: NO_ANSWER,
    NotComputed: NOT_COMPUTED,
}
SECONDS: Final = 30.0
"""How long a request waits for its answer."""
LOOK_SECONDS: Final = 0.1
AT_ONCE: Final = 5


@dataclass(frozen=True, slots=True)
class WhatIfs:
    """The dependencies of the routes."""

    database: Database
    ask: Coalescer[Ask, Asking]


WhatIfsDep = Annotated[WhatIfs, provided(WhatIfs)]
router = APIRouter(prefix="/v1", tags=["what-if"])


class DriverChange(BaseModel):
    """Another value of a driver, such as price or promotion."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    value: Annotated[float, Field(strict=True, ge=-MOST, le=MOST, allow_inf_nan=False)]
    first_day: Annotated[PlannedDay | None, Field(description="Without it, the first day of the forecast")] = None
    last_day: Annotated[PlannedDay | None, Field(description="Without it, the last day of the forecast")] = None


class DayChange(BaseModel):
    """Another calendar day: a holiday, closed, or ordinary."""

    model_config = ConfigDict(extra="forbid")

    day: PlannedDay
    kind: Kind


class LikeItemIn(BaseModel):
    """Before its own first sale, the item sold `weight` times as much as another item."""

    model_config = ConfigDict(extra="forbid")

    item_id: Id
    weight: Annotated[float, Field(strict=True, gt=0, le=1000, allow_inf_nan=False)] = 1.0


class Changes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    drivers: Annotated[list[DriverChange], Field(max_length=50)] = []
    days: Annotated[list[DayChange], Field(max_length=50)] = []
    like_item: LikeItemIn | None = None


class WhatIfIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item_id: Id
    location_id: Id | None = None
    region: Region | None = None
    origin: Annotated[
        DemandDay | None,
        Field(description="The first day; without it, the day after the last one that ended everywhere"),
    ] = None
    horizon: Annotated[int, Number(1, LONGEST_HORIZON), Field(description="Days")] = 28
    changes: Changes


class DayOfWhatIf(BaseModel):
    """`quantiles` and `cumulative` have a value for each of the answer's `levels`."""

    day: date
    mean: float
    quantiles: list[float]
    cumulative: Annotated[list[float], Field(description="Of the sum of all days from the origin to this day")]


class ForecastOfWhatIf(BaseModel):
    model: str
    why: Annotated[str | None, Field(description="The reason if it is not by the model that would have been chosen")]
    days: list[DayOfWhatIf]


class WhatIf(BaseModel):
    """Two forecasts of a series, computed together: as it is, and with the changes. Neither is stored."""

    item_id: str
    origin: date
    levels: list[float]
    as_is: ForecastOfWhatIf
    changed: ForecastOfWhatIf
    warnings: Annotated[list[str], Field(description="Why the difference may not be that of the changes")]


@router.post(
    "/what-if",
    dependencies=[limited("what-if", at_once=AT_ONCE)],
    summary="Forecast an item with another price, promotion, calendar or past",
    responses=errors(UNKNOWN_ITEM, NOTHING_CHANGES, ORIGIN_NOT_REACHED, NO_ANSWER, NOT_COMPUTED, *COMMAND_PROBLEMS),
)
async def post_what_if(body: WhatIfIn, caller: Reader, what_ifs: WhatIfsDep) -> WhatIf:
    """Return both forecasts within 30 seconds. A runner computes them; no forecast is stored and nothing is published.

    The effects are those of the past: of this item, and of some that were forecast with it. A warning names a change
    whose effect cannot be seen in the past.
    """
    deadline = time.monotonic() + SECONDS
    asking = (await what_ifs.ask(_command(body))).result
    while (found := await store.look(what_ifs.database, asking.id)) is None:
        if time.monotonic() > deadline:
            raise NoAnswer(SECONDS)
        await asyncio.sleep(LOOK_SECONDS)
    if "failed" in found:
        raise NotComputed(found["failed"])
    return WhatIf(item_id=body.item_id, origin=asking.origin, levels=list(QUANTILES), **found)


def _command(body: WhatIfIn) -> Ask:
    if body.location_id is not None and body.region is not None:
        raise _refused("/region", "must be empty if a location is named")
    drivers = []
    for place, each in enumerate(body.changes.drivers):
        first = each.first_day or body.origin or date.min
        driver = Driver(each.name, "", "", "", first, each.last_day, each.value, None)
        for name, detail in faults(driver):
            raise _refused(f"/changes/drivers/{place}/{name}", detail)
        drivers.append(driver)
    like = body.changes.like_item
    return Ask(
        (body.item_id, body.location_id or "", body.region or ""),
        body.origin,
        body.horizon,
        tuple(drivers),
        tuple(own_day(each.day, each.kind) for each in body.changes.days),
        None if like is None else LikeItem(like.item_id, like.weight),
    )


def _refused(pointer: str, detail: str) -> Refusal:
    return Refusal(INVALID, errors=[{"pointer": pointer, "detail": detail, "code": "conflict"}])
