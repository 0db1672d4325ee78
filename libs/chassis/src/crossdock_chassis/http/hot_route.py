"""The route for the hot path, and the JSON parser for all bodies."""

import asyncio
import inspect
import re
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import jiter
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from crossdock_chassis.http.request import state_of
from crossdock_chassis.problems import (
    INVALID,
    MALFORMED_JSON,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    Refusal,
    fault,
    invalid,
    pointer,
)

M = TypeVar("M", bound=BaseModel)
JSON: Final = "application/json"
MAX_VALUES: Final = 20_000
"""Values in one JSON document, members and elements alike. Each takes time to check, and each can be an error. The
smallest have two bytes, so a limit on bytes alone lets a small body block the event loop."""
FEW_VALUES: Final = 5_000
"""Values in the body of an ordinary route, which FastAPI checks in one go. 500 lines of a receipt have 3,000."""
LARGE: Final = 1 << 14
"""Bytes from which a body of a hot route is checked in several turns of the event loop."""

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def strict_json(raw: bytes, most: int = MAX_VALUES) -> bytes:
    """Return the JSON without a byte order mark.

    Raise Refusal 400 if JSON parsers would disagree, 422 for a NUL in a string, which PostgreSQL cannot store. Parsers
    disagree about repeated members, NaN, trailing bytes and nesting beyond 200. Raise Refusal 413 for a document with
    more than `most` values.
    """
    raw = raw.removeprefix(BOM_UTF8)
    if len(raw) > most < _values(raw) and _values(_STRING.sub(b"", raw)) > most:
        raise Refusal(TOO_LARGE, f"The JSON document has at most {most} values")
    try:
        document = jiter.from_json(raw, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(MALFORMED_JSON, f"The JSON is malformed: {error}") from None
    if b"\\u0000" in raw and (place := _nul(document, ())) is not None:
        message = "a NUL character cannot be stored"
        raise Refusal(
            INVALID, message, errors=[{"pointer": pointer(place), "detail": message, "code": "nul_character"}]
        )
    return raw


def _values(raw: bytes) -> int:
    """Return at least the number of values. Commas and brackets inside strings count too."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") + 1


def _nul(value: object, place: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    if isinstance(value, str):
        return place if "\0" in value else None
    if isinstance(value, dict):
        if any("\0" in name for name in value):
            return place
        found = (_nul(each, (*place, name)) for name, each in value.items())
    elif isinstance(value, list):
        found = (_nul(each, (*place, i)) for i, each in enumerate(value))
    else:
        return None
    return next((each for each in found if each is not None), None)


class JsonBody(Generic[M]):
    """Parse bytes into a model: a body of a `HotRoute`, or a line of a batch.

    Raise Refusal (400, or 422 for a NUL) or RequestValidationError (422 with field paths).
    """

    def __init__(self, model: type[M]) -> None:
        self._validate = model.__pydantic_validator__.validate_json

    def parse(self, raw: bytes) -> M:
        raw = strict_json(raw)
        try:
            parsed: M = self._validate(raw)
        except ValidationError as error:
            raise invalid(error) from None
        return parsed

    async def parse_in_turns(self, raw: bytes) -> M:
        """Parse like `parse`. If the body is large, let other requests run between the steps."""
        if len(raw) < LARGE:
            return self.parse(raw)
        raw = strict_json(raw)
        await asyncio.sleep(0)
        try:
            parsed: M = self._validate(raw)
        except ValidationError as error:
            failed = error.with_traceback(None)  # its frames refer to the error, and only the collector ends a cycle
        else:
            return parsed
        await asyncio.sleep(0)
        raise invalid(failed)


async def read_body(request: Request) -> bytes:
    """Return the whole body. Raise Refusal 413 beyond the limit, which the receive channel counts."""
    receive = request.receive
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts = bytearray(body)  # `bytes` would be copied for each part, and a part may be one byte
        while message.get("more_body", False):
            message = await receive()
            parts += message.get("body", b"")
        body = bytes(parts)
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return body


class HotRoute(APIRoute):
    """A route that is declared and documented as usual, but runs without FastAPI's dependency solver.

    Use it if a measurement shows the need: `APIRouter(route_class=HotRoute)`. The endpoint takes one body model and
    dependencies that are async functions of the request alone, and returns a Response. Any other endpoint is a
    TypeError at declaration. Dependencies run first, in order, so the body of a request without a token is not read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._body, model = _only_body(self)
        (self.method,) = self.methods or {"POST"}
        self._parse = JsonBody(model).parse_in_turns
        self._providers = [_provider(self, dependency) for dependency in self.dependant.dependencies]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != self.method:
            raise HTTPException(405, headers={"Allow": self.method})
        request = Request(scope, receive, send)
        state = state_of(request)
        state.checked = True
        values: dict[str, Any] = {}
        for name, provide in self._providers:
            value = await provide(request)
            if name is not None:
                values[name] = value
        if state.headers.get(b"content-type") != b"application/json" and not is_json(state.header(b"content-type")):
            raise unsupported_type(JSON)
        values[self._body] = await self._parse(await read_body(request))
        response: Response = await self.endpoint(**values)
        await response(scope, receive, send)


def unsupported_type(*wanted: str) -> Refusal:
    send = f"Send {' or '.join(wanted)}"
    return Refusal(UNSUPPORTED_TYPE, errors=[fault("header", "Content-Type", send, "unsupported")])


def media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def is_json(content_type: str | None) -> bool:
    kind = media_type(content_type)
    return kind == JSON or (kind.startswith("application/") and kind.endswith("+json"))


def _only_body(route: APIRoute) -> tuple[str, type[BaseModel]]:
    own = route.dependant
    if own.path_params or own.query_params or own.header_params or own.cookie_params:
        raise TypeError(f"{route.name}: a HotRoute reads nothing but its body; take the rest from dependencies")
    if (
        len(own.body_params) != 1
        or isinstance(own.body_params[0].field_info, Form)
        or _specials(own, with_request=True)
    ):
        raise TypeError(f"{route.name}: a HotRoute takes one JSON body and dependencies, nothing else")
    model = own.body_params[0].field_info.annotation
    if (
        not (isinstance(model, type) and issubclass(model, BaseModel))
        or not own.body_params[0].field_info.is_required()
    ):
        raise TypeError(f"{route.name}: the body of a HotRoute is one required pydantic model")
    if not inspect.iscoroutinefunction(route.endpoint):
        raise TypeError(f"{route.name}: the endpoint of a HotRoute is an async function")
    return own.body_params[0].name, model


def _provider(route: APIRoute, dependency: Dependant) -> tuple[str | None, Callable[[Request], Awaitable[Any]]]:
    call = dependency.call
    assert call is not None
    name = getattr(call, "__qualname__", type(call).__qualname__)
    parameters = (
        dependency.path_params + dependency.query_params + dependency.header_params + dependency.cookie_params
    ) + dependency.body_params
    if dependency.dependencies or parameters or _specials(dependency) or dependency.request_param_name is None:
        raise TypeError(f"{route.name}: the dependency {name} needs something else than the request")
    if not inspect.iscoroutinefunction(call) and not inspect.iscoroutinefunction(getattr(call, "__call__", None)):  # noqa: B004
        raise TypeError(f"{route.name}: the dependency {name} is not an async function")
    return dependency.name, call


def _specials(dependant: Dependant, *, with_request: bool = False) -> bool:
    return bool(
        (with_request and dependant.request_param_name)
        or dependant.websocket_param_name
        or dependant.http_connection_param_name
        or dependant.response_param_name
        or dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
    )
