"""A location of stock. Pure."""

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError, to_json

from crossdock_events import IDENTIFIER

MAX_ID_BYTES: Final = 64
"""In JSON. The events of an order repeat the location of each allocation: see ADR 0033."""


def _short(location_id: str) -> str:
    if len(to_json(location_id)) - 2 > MAX_ID_BYTES:
        raise PydanticCustomError("too_long", f"must have at most {MAX_ID_BYTES} bytes of UTF-8 in JSON")
    return location_id


LocationId: TypeAlias = Annotated[
    str,
    IDENTIFIER,
    AfterValidator(_short),
    Field(description=f"{IDENTIFIER.rule}; at most {MAX_ID_BYTES} bytes of UTF-8 in JSON", examples=["dc-north"]),
]
Rank: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000)]
"""Stock is sourced from the location with the lowest rank first. Locations of equal rank follow by id."""
Name: TypeAlias = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$", description="at most 200 characters on one line")
]
Country: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Z]{2}$", description="two capital letters, as in ISO 3166", examples=["US"])
]

DEFAULT_RANK: Final = 100


class LocationError(Exception):
    """A rule of the location was broken.

    - NoSuchLocation
    - DuplicateLocation
    """

    def __init__(self, location_id: str, message: str) -> None:
        super().__init__(message)
        self.location_id = location_id


class NoSuchLocation(LocationError):
    def __init__(self, location_id: str) -> None:
        super().__init__(location_id, f"No location has the id {location_id}")


class DuplicateLocation(LocationError):
    def __init__(self, location_id: str, member: str) -> None:
        super().__init__(location_id, f"The location {location_id} exists and has another {member}")
        self.errors = ({"pointer": f"/{member}", "detail": "the location has another value here", "code": "differs"},)


@dataclass(frozen=True, slots=True)
class Location:
    location_id: str
    rank: int
    name: str
    country: str | None
    version: int = 1
