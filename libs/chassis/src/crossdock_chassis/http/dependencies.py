"""Dependencies of routes. Each names the problems it can answer and the header it reads, for the OpenAPI.

They are async functions of the request alone, so a `HotRoute` can use them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from crossdock_chassis.problems import Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Header:
    """A request header that is optional and a string. `rules` are keywords of its JSON schema."""

    name: str
    description: str
    rules: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Body:
    """A body that the route reads itself."""

    media_types: Sequence[str]
    description: str


class Dependency:
    """Base of the dependencies that the OpenAPI shows. A subclass has `async def __call__(self, request)`.

    `security` has the security requirements of the OpenAPI: any one of them is enough.
    """

    problems: ClassVar[Sequence[Problem]] = ()
    header: ClassVar[Header | None] = None
    body: Body | None = None
    security: Sequence[Mapping[str, Sequence[str]]] = ()


@dataclass(frozen=True, slots=True)
class Provided(Generic[T]):
    """A dependency that takes the object of a class from the application. See `provided`."""

    kind: type[T]

    async def __call__(self, request: Request) -> T:
        found: T = request.scope["app"].provided[self.kind]
        return found


def provided(kind: type[object]) -> Any:
    """Return the dependency on the object of this class that a `Feature` provides.

    Thus routes are module-level functions, and two services in one process share no state:

        class Orders: ...                                        # a dataclass: database, coalescers, settings
        OrdersDep = Annotated[Orders, provided(Orders)]

        @router.get("/orders")
        async def get_orders(caller: Reader, orders: OrdersDep) -> Page[OrderSummary]: ...

        Feature(routers=[router], provides=[Orders(database, ...)])
    """
    return Depends(Provided(kind))


def dependencies_of(route: APIRoute) -> list[Any]:
    """Return the functions and objects that a route depends on, each followed by its own dependencies."""
    return _calls(route.dependant)


def _calls(dependant: Dependant) -> list[Any]:
    return [call for each in dependant.dependencies for call in (each.call, *_calls(each))]
