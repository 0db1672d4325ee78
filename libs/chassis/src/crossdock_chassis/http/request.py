"""The state of one HTTP request, from the first byte to the last log line."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from starlette.requests import Request

from crossdock_chassis.database.actions import Actor
from crossdock_chassis.http.concurrency import CallerRequests
from crossdock_chassis.problems import Problems

KEY: Final = "crossdock"
REALM: Final = 'Bearer realm="crossdock"'


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller that the token names. The partner never comes from another source.

    An operator has a token without a partner: `partner` is then empty, and `subject` names the person or program.
    """

    partner: str
    scopes: frozenset[str]
    client_id: str = ""
    subject: str = ""

    @property
    def account(self) -> str:
        """Return the name under which requests are counted and idempotency keys are kept.

        It is the partner, or `operator` with the subject after a blank. No partner's name has a blank.
        """
        return self.partner or f"operator {self.subject}"

    @property
    def actor(self) -> Actor:
        return Actor(self.who, self.client_id, self.partner or None)

    @property
    def who(self) -> str:
        """Return the client of a partner, or the subject of an operator: the name that audits show."""
        return self.client_id if self.partner else self.subject


class Verifier(Protocol):
    """Turns a bearer token into a caller. Tests and other identity systems have their own verifier."""

    def known(self, authorization: bytes) -> Caller | None:
        """Return at once the caller of an `Authorization` header that was verified before and has not expired."""

    async def verify(self, authorization: bytes) -> Caller:
        """Return the caller. Raise Refusal 401 if the token is not valid, 503 while keys are not available."""


Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header fields of an answer."""


class Limiter(Protocol):
    """Limits how many requests a caller may send. `limits` has the implementation."""

    async def spend(self, account: str, group: str) -> Fields:
        """Return header fields for the response. Raise Refusal 429 if the caller is over its limit."""


class RequestState:
    """One object per request, at `scope["crossdock"]`."""

    __slots__ = (
        "body_limit",
        "caller",
        "checked",
        "correlation",
        "fields",
        "headers",
        "held",
        "in_flight",
        "limited",
        "limiter",
        "problems",
        "request_id",
        "streamed",
        "traceparent",
        "verifier",
        "without_body",
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
        in_flight: CallerRequests,
    ) -> None:
        self.headers = headers
        self.request_id = request_id
        self.correlation = correlation  # the request id as a UUID, if the front door made it
        self.traceparent = traceparent
        self.problems = problems
        self.verifier = verifier
        self.body_limit = body_limit
        self.limiter = limiter
        self.in_flight = in_flight
        self.held: list[tuple[str, str]] = []  # where the request is counted, to `leave` at its end
        self.fields: Fields = ()  # header fields that every answer to this request gets
        self.caller: Caller | None = None
        self.limited = False  # the request has spent its token
        self.checked = False  # the route reads and checks its body itself
        self.streamed = False  # the answer stays open, so its duration is no latency
        self.without_body = False  # the client wants the head of the answer alone

    def enter(self, group: str = "", at_once: int | None = None) -> None:
        """Count the request among its caller's, until it ends. Raise Refusal 429 if there are too many."""
        if self.caller is not None:
            self.held.append(self.in_flight.enter(self.caller.account, group, at_once))

    def leave(self) -> None:
        for key in self.held:
            self.in_flight.leave(key)
        self.held.clear()

    def header(self, name: bytes) -> str | None:
        """Return a header by its lower case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def state_of(request: Request) -> RequestState:
    """Return the state. Raise RuntimeError if the application has no front door, which makes the state."""
    state = request.scope.get(KEY)
    if not isinstance(state, RequestState):
        raise RuntimeError("this application was not built by crossdock_chassis: there is no request state")
    return state


def route_template(scope: MutableMapping[str, Any]) -> str:
    """Return the route's path like `/v1/orders/{order_id}`, or `unmatched`: a bounded label for metrics and keys."""
    return getattr(scope.get("route"), "path_format", None) or "unmatched"


def describe(request: Request, error: Exception) -> dict[str, object]:
    """Return the problem of an exception, for responses with several problems, like the lines of a batch."""
    state = state_of(request)
    return state.problems.document(error, request_id=state.request_id)
