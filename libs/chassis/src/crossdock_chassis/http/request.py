"""What one HTTP request carries along with it, from the first byte to the last log line."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from starlette.requests import Request

from crossdock_chassis.problems import Problems

KEY: Final = "crossdock"
REALM: Final = 'Bearer realm="crossdock"'


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the token says it is; there is no other source for the partner."""

    partner: str
    scopes: frozenset[str]
    client_id: str = ""


class Verifier(Protocol):
    """The seam for tests and other identity systems: a bearer token in, a caller out."""

    def known(self, authorization: bytes) -> Caller | None:
        """The caller of an `Authorization` header that was verified before and has not expired: no waiting."""

    async def verify(self, authorization: bytes) -> Caller:
        """Raises Refusal: 401 for what is not a valid token, 503 when that cannot be found out now."""


Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header fields of an answer."""


class Limiter(Protocol):
    """Limits how often a partner may ask; `limits` holds the implementation."""

    async def spend(self, partner: str, group: str) -> Fields:
        """Return header fields for the answer. Raises Refusal 429."""


class RequestState:
    """One object per request, at `scope["crossdock"]`."""

    __slots__ = (
        "body_limit",
        "caller",
        "checked",
        "correlation",
        "fields",
        "headers",
        "limiter",
        "problems",
        "request_id",
        "traceparent",
        "verifier",
    )

    def __init__(
        self,
        headers: Mapping[bytes, bytes],
        request_id: str,
        correlation: UUID | None,
        traceparent: str,
        problems: Problems,
        verifier: Verifier,
        body_limit: int,
        limiter: Limiter | None,
    ) -> None:
        self.headers = headers
        self.request_id = request_id
        self.correlation = correlation  # the request id as a UUID, when it is one that we made
        self.traceparent = traceparent
        self.problems = problems
        self.verifier = verifier
        self.body_limit = body_limit
        self.limiter = limiter
        self.fields: Fields = ()  # header fields that every answer to this request gets
        self.caller: Caller | None = None
        self.checked = False  # the route reads and checks its body itself

    def header(self, name: bytes) -> str | None:
        """By its lower case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def state_of(request: Request) -> RequestState:
    """Raises RuntimeError in an application that has no front door, so no problems, callers or limits either."""
    state = request.scope.get(KEY)
    if not isinstance(state, RequestState):
        raise RuntimeError("this application was not built by crossdock_chassis: there is no request state")
    return state


def route_template(scope: MutableMapping[str, Any]) -> str:
    """`/v1/orders/{order_id}`: bounded, so good for metrics and keys; `unmatched` when no route took the request."""
    return getattr(scope.get("route"), "path_format", None) or "unmatched"


def describe(request: Request, error: Exception) -> dict[str, object]:
    """The problem an exception would be: for answers that hold many, like one line of a batch."""
    state = state_of(request)
    return state.problems.document(error, request_id=state.request_id)
