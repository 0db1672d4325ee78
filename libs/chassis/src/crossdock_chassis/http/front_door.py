"""The front door: the one layer between the server and the routes.

It gives the request an id and a trace, counts it, bounds its body and refuses malformed requests. It turns exceptions
into problems. Routes and their dependencies do none of this.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final
from urllib.parse import quote
from uuid import UUID

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from opentelemetry.trace import Span, StatusCode
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossdock_chassis.http.auth import Guard
from crossdock_chassis.http.concurrency import CallerRequests
from crossdock_chassis.http.hot_route import FEW_VALUES, JSON, HotRoute, is_json, strict_json, unsupported_type
from crossdock_chassis.http.limits import Limited
from crossdock_chassis.http.request import KEY, Fields, Limiter, RequestState, Verifier, route_template
from crossdock_chassis.http.routing import Routes
from crossdock_chassis.ids import new_id
from crossdock_chassis.observability import metrics, tracing
from crossdock_chassis.observability.context import REQUEST_ID
from crossdock_chassis.observability.logging import message_of
from crossdock_chassis.problems import (
    INTERNAL,
    MALFORMED_REQUEST,
    TOO_LARGE,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    Problems,
    Refusal,
    drop_tracebacks,
    fault,
)

_SANE: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """The checks of an ordinary route before its body is read."""

    guards: Sequence[Guard | Limited]
    json: bool


class Front:
    def __init__(
        self,
        app: ASGIApp,
        routes: Routes,
        *,
        problems: Problems,
        verifier: Verifier,
        body_limit: int,
        limiter: Limiter | None = None,
        partner_requests: int = 256,
    ) -> None:
        self._app, self._routes, self._problems = app, routes, problems
        self._verifier, self._body_limit = verifier, body_limit
        self._limiter = limiter
        self._in_flight = CallerRequests(partner_requests)
        self._plans: dict[int, Plan] = {}  # by id, because starlette's routes cannot be hashed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        headers = dict(scope["headers"])
        request_id, correlation = _request_id(headers.get(b"request-id"))
        parent = headers.get(b"traceparent")
        opened = tracing.begin("http", parent.decode("latin-1") if parent else None)
        state = RequestState(
            headers,
            request_id,
            correlation,
            opened.traceparent,
            self._problems,
            self._verifier,
            self._body_limit,
            self._limiter,
            self._in_flight,
        )
        scope[KEY] = state
        current = REQUEST_ID.set(request_id)
        status = 0
        private: Fields = _PRIVATE
        without_body = state.without_body = scope["method"] == "HEAD"

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"request-id", request_id.encode())
                message["headers"] = [*message["headers"], own, *private, *state.fields]
            elif without_body:
                message = {**message, "body": b""}
            await send(message)

        try:
            if len(headers) != len(scope["headers"]):
                _refuse_repeated(scope)
            route = self._routes.find(scope)
            if isinstance(route, HotRoute):
                await route.handle(scope, self._bounded(scope, receive, state), numbered)
            elif route is None:
                private = ()
                undecoded = {**scope, "path": _instance(scope)}  # so that no route matches what `find` did not find
                await self._app(undecoded, self._bounded(scope, receive, state), numbered)
            else:
                asked = {**scope, "method": "GET"} if without_body else scope
                await self._app(asked, self._bounded(scope, receive, state), numbered)
        except asyncio.CancelledError:
            if not status:  # cancelled because the process ends: the client retries, and another process answers
                gone = self._problems.render(Refusal(UNAVAILABLE), request_id=request_id, instance=_instance(scope))
                await gone(scope, receive, numbered)
            raise
        except Exception as error:
            if isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect):
                status = status or 499  # no client is left to answer; FastAPI wraps the exception
                return
            problem, where = self._problems.of(error), {"method": scope["method"], "route": route_template(scope)}
            if problem is INTERNAL:
                log.error("unhandled", extra=where, exc_info=error)
            elif problem is UNAVAILABLE:
                log.warning("unavailable", extra={**where, "reason": f"{type(error).__name__}: {message_of(error)}"})
            if status:
                raise  # part of the response is sent: break the connection so that the client sees an error
            rendered = self._problems.render(error, request_id=request_id, instance=_instance(scope))
            drop_tracebacks(error)
            await rendered(scope, receive, numbered)
        finally:
            state.leave()
            _count(scope, status or 500, None if state.streamed else perf_counter() - began, opened.span)
            opened.end()
            REQUEST_ID.reset(current)

    def _bounded(self, scope: Scope, receive: Receive, state: RequestState) -> Receive:
        """Return the receive channel of the route, which limits the body.

        It refuses a body whose Content-Length is too large before the first byte, and counts the bytes that arrive. For
        an ordinary route it also checks token, content type and strict JSON. A `HotRoute` checks them itself.
        """
        seen = 0
        plan: Plan | None = None
        started = complete = False
        whole = bytearray()

        async def bounded() -> Message:
            nonlocal seen, plan, started, complete
            if complete:  # after the body, wait without a limit for the client to disconnect
                return await receive()
            if not started:
                started = True
                if not state.checked:
                    plan = self._plan(scope)
                    for guard in plan.guards:
                        await guard(Request(scope))
                length = state.headers.get(b"content-length")
                encoding = state.headers.get(b"content-encoding")
                if encoding is not None and encoding.strip().lower() != b"identity":
                    detail = "Send the body without an encoding: compressed bodies are not accepted"
                    raise Refusal(
                        UNSUPPORTED_TYPE,
                        errors=[fault("header", "Content-Encoding", detail, "unsupported")],
                        headers={"Accept-Encoding": "identity"},
                    )
                if length is not None and length.isdigit() and int(length) > state.body_limit:
                    raise _too_large(state.body_limit)
            message = await receive()
            if message["type"] != "http.request":
                return message
            body = message.get("body", b"")
            complete = not message.get("more_body", False)
            seen += len(body)
            if seen > state.body_limit:
                raise _too_large(state.body_limit)
            if plan is not None and plan.json and seen:
                if not is_json(state.header(b"content-type")):
                    raise unsupported_type(JSON)
                whole.extend(body)
                if complete:
                    strict_json(bytes(whole), FEW_VALUES)
            return message

        return bounded

    def _plan(self, scope: Scope) -> Plan:
        route = scope.get("route")
        if not isinstance(route, APIRoute) or isinstance(route, HotRoute):
            return _NO_PLAN
        plan = self._plans.get(id(route))
        if plan is None:
            body = route.body_field
            json = body is not None and not isinstance(body.field_info, Form)
            plan = self._plans[id(route)] = Plan(_guards(route.dependant), json)
        return plan


_NO_PLAN: Final = Plan((), False)


def _guards(dependant: Dependant) -> list[Guard | Limited]:
    own = [dependant.call] if isinstance(dependant.call, (Guard, Limited)) else []
    return own + [guard for each in dependant.dependencies for guard in _guards(each)]


def _request_id(sent: bytes | None) -> tuple[str, UUID | None]:
    """Return the client's request id if it is valid, else a new UUID, also as a UUID."""
    if sent is not None and _SANE.fullmatch(sent):
        return sent.decode(), None
    new = new_id()
    return str(new), new


def _refuse_repeated(scope: Scope) -> None:
    """Raise Refusal if a header that selects behaviour is repeated: which of two keys or tokens counts is ambiguous."""
    seen: set[bytes] = set()
    for name, _ in scope["headers"]:
        if name in _SINGLE and name in seen:
            raise Refusal(MALFORMED_REQUEST, f"The header {name.decode()} was sent twice")
        seen.add(name)


_SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"correlation-id",
        b"idempotency-key",
        b"if-match",
        b"request-id",
    }
)
_PRIVATE: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""No cache stores an answer of a route, because it can contain personal data, and no browser guesses its type."""


def _instance(scope: Scope) -> str:
    """Return the path as a URI reference: percent-encoded, also if the client did not encode it."""
    return quote(scope.get("raw_path") or scope["path"], safe="%/:@!$&'()*+,;=~")


def _too_large(limit: int) -> Refusal:
    return Refusal(TOO_LARGE, f"The body has more than {limit} bytes", extra={"limit": limit})


def _count(scope: Scope, status: int, seconds: float | None, span: Span | None) -> None:
    method, route = scope["method"], route_template(scope)
    if method not in _METHODS:
        method = "other"
    metrics.requests(method, route, str(status)).inc()
    if seconds is not None:
        metrics.latency(method, route).observe(seconds)
    if span is not None:
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(StatusCode.ERROR)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
