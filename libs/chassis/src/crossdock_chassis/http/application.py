"""The HTTP application of a service: its routers behind the front door, and an OpenAPI that tells the truth."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from crossdock_chassis.database.unit import is_transient
from crossdock_chassis.http.front_door import Front
from crossdock_chassis.http.hot_route import HotRoute
from crossdock_chassis.http.limits import group_of
from crossdock_chassis.http.request import Limiter, Verifier
from crossdock_chassis.problems import MEDIA_TYPE, Problem, Problems


class Api(FastAPI):
    """FastAPI with one layer where it has six. Middleware of its own kind is not for services, so none is taken."""

    def __init__(
        self,
        name: str,
        routers: Sequence[APIRouter],
        *,
        verifier: Verifier,
        problems: Mapping[type[Exception], Problem] | None = None,
        limiter: Limiter | None = None,
        max_body_bytes: int = 1 << 20,
        description: str = "",
    ) -> None:
        super().__init__(
            title=name, version="1", description=description, redoc_url=None, redirect_slashes=False, telemetry=_OFF
        )
        self._problems = Problems(problems, passing=is_transient)
        self._verifier, self._limiter, self._body_limit = verifier, limiter, max_body_bytes
        own = self.router.routes[:]
        self.router.routes.clear()
        for router in routers:
            # Included routers are matched twice by FastAPI; a router's own prefix and dependencies are in its routes.
            self.router.routes.extend(router.routes)
        self.router.routes.extend(own)

    def build_middleware_stack(self) -> ASGIApp:
        if self.user_middleware or set(self.exception_handlers) - _OF_FASTAPI:
            raise TypeError("problems are told by the table of the service, and middleware belongs in the chassis")
        return Front(
            AsyncExitStackMiddleware(self.router),
            problems=self._problems,
            verifier=self._verifier,
            body_limit=self._body_limit,
            limiter=self._limiter,
            hot={route.path: route for route in self.router.routes if isinstance(route, HotRoute)},
        )

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schemas["Problem"] = PROBLEM_SCHEMA
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for operation in (each for path in document["paths"].values() for each in path.values()):
                responses = operation["responses"]
                if "HTTPValidationError" in str(responses.get("422")):
                    del responses["422"]
                responses.setdefault("default", _PROBLEM_RESPONSE)
            for route in self.router.routes:
                if isinstance(route, APIRoute) and group_of(route) is not None:
                    for method in route.methods or ():
                        document["paths"][route.path_format][method.lower()]["responses"]["429"] = _LIMITED_RESPONSE
        return document


_OFF: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}  # the front door does it
_OF_FASTAPI: Final = frozenset(FastAPI().exception_handlers)
_PROBLEM_RESPONSE: Final[dict[str, Any]] = {
    "description": "A problem (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_LIMITED_RESPONSE: Final = {
    **_PROBLEM_RESPONSE,
    "description": "`rate-limited`: more requests than the partner's limit allows. Send it again after `Retry-After`",
    "headers": {
        "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}},
        "RateLimit-Policy": {
            "description": "The route group; `q` requests at once, regained in `w` seconds",
            "schema": {"type": "string", "examples": ['"orders";q=100;w=10']},
        },
        "RateLimit": {
            "description": "The route group; `r` requests left, one more in `t` seconds",
            "schema": {"type": "string", "examples": ['"orders";r=0;t=1']},
        },
    },
}
PROBLEM_SCHEMA: Final = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Stable: what to branch on"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail", "code"],
                "properties": {
                    "pointer": {"type": "string", "format": "json-pointer"},
                    "in": {"type": "string", "enum": ["query", "path", "header", "cookie"]},
                    "parameter": {"type": "string"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}
