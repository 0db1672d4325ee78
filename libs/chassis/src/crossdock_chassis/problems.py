"""Problems (RFC 9457): one form for every error response, whichever route or check refuses the request.

    {"type": "urn:crossdock:problem:no-such-order", "title": …, "status": 404, "detail": …, "instance": "/v1/orders/…",
     "request_id": …, "errors": [{"pointer": "/lines/0/quantity", "detail": …, "code": "greater_than"}]}

`type` is a promise to clients: its meaning never changes. `detail`, `errors` and further members are optional.
"""

import builtins
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

PREFIX: Final = "urn:crossdock:problem:"
MEDIA_TYPE: Final = "application/problem+json"
MAX_ERRORS: Final = 100  # a body can have a hundred thousand errors; no client needs more than the first hundred


@dataclass(frozen=True, slots=True)
class Problem:
    """The error response that an exception type becomes. The OpenAPI of each route lists these values.

    `type` is a slug (`no-such-order`). `title` is the same for every occurrence: it makes sense without the code and
    names the next step, if there is one.

    `headers` are sent with the response. Each is a text, or a function that makes the text from the exception:
    `headers={"Location": lambda error: f"/v1/orders/{error.order_id}"}`.

    `model` describes members that the standard ones do not cover, for the OpenAPI only. The exception carries the
    members themselves as plain attributes: `extra` (a mapping) and `errors` (mappings with `pointer`, `detail`,
    `code`). So a pure model needs nothing from here.
    """

    status: int
    type: str
    title: str
    headers: Mapping[str, str | Callable[[Any], str]] = field(default_factory=dict, hash=False)
    model: "builtins.type[BaseModel] | None" = None


class Refusal(HTTPException):
    """A request that the HTTP layer itself refuses: `raise Refusal(TOO_LARGE, "At most 1048576 bytes")`."""

    def __init__(
        self,
        problem: Problem,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem.status, detail, dict(headers) if headers else None)
        self.problem, self.errors, self.extra = problem, errors, extra or {}

    def __str__(self) -> str:
        return str(self.detail)


MALFORMED_JSON: Final = Problem(400, "malformed-json", "The body is not valid JSON")
BAD_CURSOR: Final = Problem(400, "bad-cursor", "The cursor is not `next` of a page of this list")
CURSOR_EXPIRED: Final = Problem(
    410,
    "cursor-expired",
    "The database was restored or moved after this cursor was made; read the feed from its beginning, without a cursor",
)
MALFORMED_REQUEST: Final = Problem(400, "malformed-request", "The request is malformed")
UNAUTHENTICATED: Final = Problem(401, "unauthenticated", "The request needs a valid access token")
FORBIDDEN: Final = Problem(403, "forbidden", "The access token does not permit this request")
NOT_FOUND: Final = Problem(404, "not-found", "No resource has this path")
METHOD_NOT_ALLOWED: Final = Problem(405, "method-not-allowed", "The resource does not support this method")
TOO_SLOW: Final = Problem(
    408, "too-slow", "The request arrived too slowly; send it again", headers={"Connection": "close"}
)
PRECONDITION_FAILED: Final = Problem(
    412, "precondition-failed", "The resource is no longer at the version in If-Match; read it again"
)
TOO_LARGE: Final = Problem(413, "too-large", "The body is larger than the limit")
UNSUPPORTED_TYPE: Final = Problem(415, "unsupported-media-type", "The resource does not accept this content type")
INVALID: Final = Problem(422, "invalid", "The request breaks a rule; `errors` names each field")
PRECONDITION_REQUIRED: Final = Problem(
    428, "precondition-required", "The request needs If-Match with the version to change"
)
INTERNAL: Final = Problem(500, "internal", "The service failed; report the request id")
UNAVAILABLE: Final = Problem(
    503,
    "unavailable",
    "The service is not available now; wait Retry-After seconds, then retry",
    headers={"Retry-After": "1"},
)

_BY_STATUS: Final = {
    problem.status: problem
    for problem in (
        MALFORMED_REQUEST,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        TOO_LARGE,
        UNSUPPORTED_TYPE,
        INVALID,
        INTERNAL,
        UNAVAILABLE,
    )
}


class Problems:
    """Find the problem of an exception: in the service's table, else in the exception's own attribute `problem`.

    Exception classes of the chassis have that attribute. Any other exception is `internal`: the client sees no
    detail of it.
    """

    def __init__(
        self,
        table: Mapping[type[Exception], Problem] | None = None,
        *,
        passing: Callable[[Exception], bool] | None = None,
    ) -> None:
        """Take the service's table. `passing` recognises transient failures, which become a 503 instead of a 500."""
        self._table = dict(table or {})
        self._passing = passing or (lambda _: False)

    def of(self, error: Exception) -> Problem:
        for kind in type(error).__mro__:
            if (known := self._table.get(kind)) is not None:
                return known
        if isinstance(own := getattr(error, "problem", None), Problem):
            return own
        if isinstance(error, RequestValidationError):
            return MALFORMED_JSON if _is_syntax(error) else INVALID
        if isinstance(error, HTTPException):
            return _BY_STATUS.get(error.status_code) or Problem(error.status_code, "http-error", "Request refused")
        return UNAVAILABLE if self._passing(error) else INTERNAL

    def document(self, error: Exception, *, request_id: str, instance: str = "") -> dict[str, object]:
        """Return the problem's members, ready for JSON. A line of a batch answer uses them too."""
        problem = self.of(error)
        document: dict[str, object] = {"type": PREFIX + problem.type, "title": problem.title, "status": problem.status}
        errors = _field_errors(error)
        if problem not in _SILENT:
            document.update({str(k): v for k, v in (getattr(error, "extra", None) or {}).items() if k not in _RESERVED})
            if detail := _detail(error, errors):
                document["detail"] = detail
        if instance:
            document["instance"] = instance
        document["request_id"] = request_id
        if errors and problem not in _SILENT:
            document["errors"] = errors[:MAX_ERRORS]
        return document

    def render(self, error: Exception, *, request_id: str, instance: str) -> Response:
        problem = self.of(error)
        headers = dict(getattr(error, "headers", None) or {})
        for name, value in problem.headers.items():
            headers[name] = value if isinstance(value, str) else value(error)
        body = json.dumps(self.document(error, request_id=request_id, instance=instance), default=str).encode()
        return Response(body, problem.status, headers, MEDIA_TYPE)


_SILENT: Final = (INTERNAL, UNAVAILABLE)  # the log has the cause of these; clients must not see it
_RESERVED: Final = frozenset({"type", "title", "status", "detail", "instance", "request_id", "errors"})


def pointer(location: Iterable[str | int]) -> str:
    """Return a JSON pointer (RFC 6901): `("lines", 0, "quantity")` → `/lines/0/quantity`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


class Invalid(RequestValidationError):
    """A body with `count` errors. It keeps the first ones only, because a batch holds many invalid lines."""

    def __init__(self, errors: Sequence[Mapping[str, Any]], count: int) -> None:
        super().__init__(errors)
        self.count = count


def invalid(error: ValidationError) -> RequestValidationError:
    """Return the 422 of a body that breaks its model. Any other ValidationError is a defect of the service: 500."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return Invalid([{**each, "loc": ("body", *each["loc"])} for each in found[:MAX_ERRORS]], len(found))


def drop_tracebacks(error: BaseException | None) -> None:
    """Drop the tracebacks of an error that is answered, and of its causes.

    Their frames refer to the error. A large body makes 150,000 objects, and to collect such cycles takes 100 ms.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _is_syntax(error: RequestValidationError) -> bool:
    return any(each.get("type") == "json_invalid" for each in error.errors()[:MAX_ERRORS])


def _field_errors(error: Exception) -> list[dict[str, str]]:
    if isinstance(error, RequestValidationError):
        found = _own_faults(error.errors()[:MAX_ERRORS])
        return [_field_error(each["loc"], each["msg"], each["type"]) for each in found]
    own = getattr(error, "errors", None)
    return [dict(each) for each in own] if isinstance(own, (list, tuple)) else []


def _own_faults(errors: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Drop a `too_short` that pydantic adds to a tuple because an invalid item does not count."""
    short = [error for error in errors if error["type"] == "too_short"]
    if not short or len(short) == len(errors):
        return list(errors)
    above = {tuple(each["loc"][:depth]) for each in errors for depth in range(len(each["loc"]))}
    return [each for each in errors if each["type"] != "too_short" or tuple(each["loc"]) not in above]


def _field_error(location: Sequence[str | int], message: str, code: str) -> dict[str, str]:
    where, rest = str(location[0]), location[1:]
    message = message.removeprefix("Value error, ")
    if where == "body":
        return {"pointer": pointer(() if code == "json_invalid" else rest), "detail": message, "code": code}
    return fault(where, ".".join(map(str, rest)), message, code)


def fault(where: str, parameter: str, detail: str, code: str) -> dict[str, str]:
    """Return an entry of `errors` for a parameter: `fault("header", "If-Match", "It is missing", "missing")`."""
    return {"in": where, "parameter": parameter, "detail": detail, "code": code}


def _detail(error: Exception, errors: Sequence[Mapping[str, str]]) -> str:
    """Return the cause, with the place of the first error. `errors` has the other places."""
    text = "" if isinstance(error, RequestValidationError) else str(error)
    if not errors:
        return text
    place = _place(errors[0])
    if place in text:
        return text
    if text:
        return f"{place}: {text}"
    count = _count(error, errors)
    more = f", and {count - 1} more errors" if count > 1 else ""
    shown = f"; `errors` has the first {MAX_ERRORS}" if count > MAX_ERRORS else ""
    return f"{place}: {errors[0]['detail']}{more}{shown}"


def _count(error: Exception, shown: Sequence[Mapping[str, str]]) -> int:
    """Return the number of errors, of which at most `MAX_ERRORS` are shown."""
    if not isinstance(error, RequestValidationError):
        return len(shown)
    count = error.count if isinstance(error, Invalid) else len(error.errors())
    return count if count > MAX_ERRORS else len(shown)


def _place(error: Mapping[str, str]) -> str:
    if (found := error.get("pointer")) is not None:
        return found or "The body"
    return f"{error['in']} {error['parameter']}" if "in" in error else ""
