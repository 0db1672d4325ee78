"""HTTP conventions of this service: the callers of its routes."""

from typing import Annotated, Final

from pydantic import Field

from crossdock_chassis import Caller, limited, requires, staff

STAFF: Final = "crm:staff"
Reader = Annotated[Caller, requires("crm:read", operators=STAFF)]
Writer = Annotated[Caller, requires("crm:write", operators=STAFF)]
Staff = Annotated[Caller, staff(STAFF)]
CRM: Final = [limited("crm")]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,31}$", examples=["office"])]
Id = Annotated[str, Field(min_length=1, max_length=64)]
