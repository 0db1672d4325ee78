"""HTTP conventions of this service: the callers of its routes."""

import re
from datetime import date
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from crossdock_chassis import Caller, Problem, limited, requires
from forecast_service.places import REGION_LENGTH

Reader = Annotated[Caller, requires("forecasts:read", operators="ops:read")]
Writer = Annotated[Caller, requires("forecasts:write", operators="ops:act")]
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
FIRST_DAY: Final = date(1990, 1, 1)
LAST_DAY: Final = date(2999, 12, 31)
ORIGIN_NOT_REACHED: Final = Problem(422, "origin-not-reached", "The demand before this origin is not whole yet")
FORECASTS: Final = [limited("forecasts")]


def _is_a_day(value: object) -> object:
    """Refuse numbers, also as text, which pydantic takes for seconds since 1970."""
    if not isinstance(value, date) and not (isinstance(value, str) and DAY.fullmatch(value)):
        raise ValueError("must be a day such as 2026-11-30")
    return value


def _can_have_demand(day: date) -> date:
    if day < FIRST_DAY:
        raise ValueError(f"must be {FIRST_DAY} or later")
    return day


def _can_be_planned(day: date) -> date:
    if day > LAST_DAY:
        raise ValueError(f"must be {LAST_DAY} or earlier")
    return day


Day = Annotated[date, BeforeValidator(_is_a_day)]
DemandDay = Annotated[Day, AfterValidator(_can_have_demand)]
PlannedDay = Annotated[DemandDay, AfterValidator(_can_be_planned)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Region = Annotated[str, Field(min_length=2, max_length=REGION_LENGTH, pattern="^[A-Z]{2}(-.+)?$")]
