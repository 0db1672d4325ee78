"""HTTP conventions of this service: the callers of its routes."""

import re
from datetime import date
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from crossdock_chassis import Caller, limited, requires, staff

STAFF: Final = "crm:staff"
Reader = Annotated[Caller, requires("crm:read", operators=STAFF)]
Writer = Annotated[Caller, requires("crm:write", operators=STAFF)]
Staff = Annotated[Caller, staff(STAFF)]
CRM: Final = [limited("crm")]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,31}$", examples=["office"])]
DAY: Final = re.compile(r"(19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}")


def _is_a_day(value: object) -> object:
    """Refuse numbers, also as text, which pydantic takes for seconds since 1970."""
    if not isinstance(value, date) and not (isinstance(value, str) and DAY.fullmatch(value)):
        raise ValueError("must be a day such as 2026-11-30")
    return value


Day = Annotated[date, BeforeValidator(_is_a_day)]
Id = Annotated[str, Field(min_length=1, max_length=64)]


def _whole(value: object) -> object:
    """Take 3.0 as JSON Schema does: as the integer 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
Quantity = Annotated[int, Field(ge=1, le=1_000_000_000), WHOLE]
