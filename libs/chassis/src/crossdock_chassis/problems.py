"""RFC 9457: what goes wrong, told in one form at every door.

    {"type": "urn:crossdock:problem:no-such-order", "title": …, "status": 404, "detail": …, "instance": "/v1/orders/…",
     "request_id": …, "errors": [{"pointer": "/lines/0/quantity", "detail": …, "code": "greater_than"}]}

`type` is a promise to clients: it never changes its meaning. Every member but `detail`, `errors` and extras is present.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

PREFIX: Final = "urn:crossdock:problem:"
MEDIA_TYPE: Final = "application/problem+json"
MAX_ERRORS: Final = 100  # a body can be wrong in a hundred thousand places; nobody reads past the first hundred


@dataclass(frozen=True, slots=True)
class Problem:
    """What an exception type becomes on the wire.

    `type` is a slug (`no-such-order`). The exception itself may carry, as plain attributes, `extra` (a mapping of
    further members) and `errors` (mappings with `pointer`, `detail`, `code`); so a pure model needs nothing from here.
    `headers` makes what only HTTP knows out of it:
    `headers=lambda error: {"Location": f"/v1/orders/{error.order_id}"}`.
    """

    status: int
    type: str
    title: str
    headers: Callable[[Any], Mapping[str, str]] | None = None


class Refusal(HTTPException):
    """A request that ends here, said by the door itself: `raise Refusal(BAD_CURSOR, "not one of ours")`."""

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


MALFORMED_JSON: Final = Problem(400, "malformed-json", "The body is not JSON that can be understood")
MALFORMED_REQUEST: Final = Problem(400, "malformed-request", "The request cannot be understood")
UNAUTHENTICATED: Final = Problem(401, "unauthenticated", "A valid access token is needed")
FORBIDDEN: Final = Problem(403, "forbidden", "The token does not allow this")
NOT_FOUND: Final = Problem(404, "not-found", "There is nothing here")
METHOD_NOT_ALLOWED: Final = Problem(405, "method-not-allowed", "This resource does not answer to that method")
TOO_SLOW: Final = Problem(408, "too-slow", "The body did not come in time", headers=lambda _: {"Connection": "close"})
PRECONDITION_FAILED: Final = Problem(412, "precondition-failed", "It has changed since you read it")
TOO_LARGE: Final = Problem(413, "too-large", "The body is larger than this resource takes")
UNSUPPORTED_TYPE: Final = Problem(415, "unsupported-media-type", "This resource does not take that content type")
INVALID: Final = Problem(422, "invalid", "The request breaks the rules of this resource")
PRECONDITION_REQUIRED: Final = Problem(428, "precondition-required", "Say which version you mean with If-Match")
INTERNAL: Final = Problem(500, "internal", "Something broke on our side")
UNAVAILABLE: Final = Problem(
    503, "unavailable", "Not possible at the moment; ask again", headers=lambda _: {"Retry-After": "1"}
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
    """Which exception is which problem: a service's own table, then what the exception says of itself.

    An exception class of the chassis carries its `problem: Problem` as an attribute. One that nobody speaks for is
    `internal`, and nothing of it reaches the client.
    """

    def __init__(
        self,
        table: Mapping[type[Exception], Problem] | None = None,
        *,
        passing: Callable[[Exception], bool] | None = None,
    ) -> None:
        """`passing` knows trouble that goes away by itself, like a database that restarts: 503, not 500."""
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
        """The problem as JSON-ready members: also what one line of a batch answers."""
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
        if problem.headers is not None:
            headers.update(problem.headers(error))
        body = json.dumps(self.document(error, request_id=request_id, instance=instance), default=str).encode()
        return Response(body, problem.status, headers, MEDIA_TYPE)


_SILENT: Final = (INTERNAL, UNAVAILABLE)  # what went wrong inside is for the log, not for the client
_RESERVED: Final = frozenset({"type", "title", "status", "detail", "instance", "request_id", "errors"})


def pointer(location: Iterable[str | int]) -> str:
    """RFC 6901: `("lines", 0, "quantity")` → `/lines/0/quantity`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def invalid(error: ValidationError) -> RequestValidationError:
    """A body that breaks its model. Only this way is a ValidationError the client's fault: one from within is ours."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found])


def _is_syntax(error: RequestValidationError) -> bool:
    return any(each.get("type") == "json_invalid" for each in error.errors())


def _field_errors(error: Exception) -> list[dict[str, str]]:
    if isinstance(error, RequestValidationError):
        return [_field_error(each["loc"], each["msg"], each["type"]) for each in _own_faults(error.errors())]
    own = getattr(error, "errors", None)
    return [dict(each) for each in own] if isinstance(own, (list, tuple)) else []


def _own_faults(errors: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without pydantic's echo: a tuple whose item is wrong is also called too short, for the item does not count."""
    short = [error for error in errors if error["type"] == "too_short"]
    if not short or len(short) == len(errors):
        return list(errors)
    above = {tuple(each["loc"][:depth]) for each in errors for depth in range(len(each["loc"]))}
    return [each for each in errors if each["type"] != "too_short" or tuple(each["loc"]) not in above]


def _field_error(location: Sequence[str | int], message: str, code: str) -> dict[str, str]:
    where, rest = str(location[0]), location[1:]
    if where == "body":
        return {"pointer": pointer(() if code == "json_invalid" else rest), "detail": message, "code": code}
    return {"in": where, "parameter": ".".join(map(str, rest)), "detail": message, "code": code}


def _detail(error: Exception, errors: Sequence[Mapping[str, str]]) -> str:
    if isinstance(error, RequestValidationError):
        if len(errors) == 1:
            return errors[0]["detail"]
        shown = f", the first {MAX_ERRORS} are shown" if len(errors) > MAX_ERRORS else ""
        return f"{len(errors)} places are wrong{shown}"
    if isinstance(error, HTTPException):
        return str(error.detail)
    return str(error)
