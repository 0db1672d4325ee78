"""The HTTP application of a service: its routers behind the front door, and their OpenAPI."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.http import documentation, openapi
from crossdock_chassis.http.dependencies import Provided, dependencies_of
from crossdock_chassis.http.front_door import Front
from crossdock_chassis.http.request import Limiter, Verifier
from crossdock_chassis.http.routing import Routes
from crossdock_chassis.problems import Problem, Problems


class Api(FastAPI):
    """FastAPI with one middleware layer instead of six. Services add no middleware.

    `provides` are the objects that routes take by `provided(Class)`. `pages` come after all other routes.
    """

    def __init__(
        self,
        name: str,
        routers: Sequence[APIRouter],
        *,
        verifier: Verifier,
        problems: Mapping[type[Exception], Problem] | None = None,
        provides: Sequence[object] = (),
        pages: Sequence[BaseRoute] = (),
        limiter: Limiter | None = None,
        max_body_bytes: int = 1 << 20,
        partner_requests: int = 256,
        description: str = "",
    ) -> None:
        super().__init__(
            title=name,
            version="1",
            description=description,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry=_OFF,
        )
        self._problems = Problems(problems, passing=is_transient)
        self._verifier, self._limiter, self._body_limit = verifier, limiter, max_body_bytes
        self._partner_requests = partner_requests
        self.provided = {type(each): each for each in provides}
        own = [*self.router.routes, *documentation.routes(name)]
        self.router.routes.clear()
        for router in routers:
            # FastAPI matches included routers twice. Their routes already have the router's prefix and dependencies.
            self.router.routes.extend(router.routes)
        self.router.routes.extend([*own, *pages])
        self.routing = Routes(self.api_routes())
        for route in self.api_routes():
            for each in dependencies_of(route):
                if isinstance(each, Provided) and each.kind not in self.provided:
                    raise TypeError(f"{route.name}: no feature provides {each.kind.__qualname__}")

    def api_routes(self) -> list[APIRoute]:
        return [route for route in self.router.routes if isinstance(route, APIRoute)]

    def build_middleware_stack(self) -> ASGIApp:
        if self.user_middleware or set(self.exception_handlers) - _OF_FASTAPI:
            raise TypeError("problems belong in the table of the feature, and middleware belongs in the chassis")
        return Front(
            AsyncExitStackMiddleware(_handle),
            self.routing,
            problems=self._problems,
            verifier=self._verifier,
            body_limit=self._body_limit,
            limiter=self._limiter,
            partner_requests=self._partner_requests,
        )

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            openapi.complete(super().openapi(), self.api_routes())
        return super().openapi()


async def _handle(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the route that the front door found, else leave the request to the router: the OpenAPI, its pages, 404."""
    route = scope.get("route") or scope["app"].router
    await route.handle(scope, receive, send)


_OFF: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}  # the front door does this
_OF_FASTAPI: Final = frozenset(FastAPI().exception_handlers)
