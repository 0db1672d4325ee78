"""HTTP conventions of this service: the callers of its routes."""

from typing import Annotated, Final

from pydantic import Field

from crossdock_chassis import Caller, limited, requires
from forecast_service.places import REGION_LENGTH

Reader = Annotated[Caller, requires("forecasts:read", operators="ops:read")]
Writer = Annotated[Caller, requires("forecasts:write", operators="ops:act")]
FORECASTS: Final = [limited("forecasts")]

Id = Annotated[str, Field(min_length=1, max_length=64)]
Region = Annotated[str, Field(min_length=2, max_length=REGION_LENGTH, pattern="^[A-Z]{2}(-.+)?$")]
