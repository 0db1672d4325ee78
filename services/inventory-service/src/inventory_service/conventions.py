"""HTTP conventions of this service: scopes, request bodies, and responses with an ETag."""

from abc import abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict

from crossdock_chassis import Caller, CommandResult, cause, json_response, limited, requires
from crossdock_events import Cause

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Reader = Annotated[Caller, requires("stock:read", operators="ops:read")]
Writer = Annotated[Caller, requires("stock:write")]
Mover = Annotated[Caller, requires("stock:write", operators="ops:act")]
Why = Annotated[Cause, cause]
STOCK: Final = [limited("stock")]

REGISTERED_BEFORE: Final = "It was registered before with the same content"


class Body(BaseModel):
    """Unknown members are refused, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Patch(Body):
    """A member that is left out changes nothing."""

    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def first_difference(one: "DataclassInstance", other: "DataclassInstance") -> str:
    """Return the name of the first field in which two unequal values of a dataclass differ."""
    return next(each.name for each in fields(one) if getattr(one, each.name) != getattr(other, each.name))


class Resource(BaseModel):
    """A view that has a path and a version."""

    @property
    @abstractmethod
    def path(self) -> str: ...

    @property
    @abstractmethod
    def etag(self) -> str: ...


R = TypeVar("R", bound=Resource)


class Registered(BaseModel, Generic[R]):
    resource: R
    created: bool


def registered(done: CommandResult[Registered[R]]) -> Response:
    """Respond with 201, or with 200 if the resource was registered before."""
    resource, created = done.result.resource, done.result.created
    return json_response(
        resource, 201 if created else 200, replayed=done.replayed, location=resource.path, etag=resource.etag
    )


def shown(resource: Resource, *, replayed: bool = False) -> Response:
    return json_response(resource, replayed=replayed, etag=resource.etag)
