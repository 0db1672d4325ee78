"""The front door: the one layer between the server and the routes.

It names the request, gives it a trace, counts it, bounds its body, keeps nonsense out before anybody trips over it,
and turns whatever is raised into a problem. Routes and their dependencies never do any of this.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final
from uuid import UUID

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from opentelemetry.trace import Span, StatusCode
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossdock_chassis.http.auth import Guard
from crossdock_chassis.http.hot_route import JSON, HotRoute, is_json, strict_json
from crossdock_chassis.http.limits import Limited
from crossdock_chassis.http.request import KEY, Limiter, RequestState, Verifier, route_template
from crossdock_chassis.ids import new_id
from crossdock_chassis.observability import metrics, tracing
from crossdock_chassis.observability.context import REQUEST_ID
from crossdock_chassis.problems import (
    INTERNAL,
    MALFORMED_REQUEST,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    Problems,
    Refusal,
)

_SANE: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

IDLE_SECONDS: Final = 60.0
"""A body may take its time, but not stand still for longer: each one holds a task and a connection."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an ordinary route wants before its body is read."""

    guards: Sequence[Guard | Limited]
    json: bool


class Front:
    def __init__(
        self,
        app: ASGIApp,
        *,
        problems: Problems,
        verifier: Verifier,
        body_limit: int,
        limiter: Limiter | None = None,
        hot: Mapping[str, HotRoute] | None = None,
    ) -> None:
        self._app, self._problems, self._verifier, self._body_limit = app, problems, verifier, body_limit
        self._limiter = limiter
        self._hot = hot or {}  # by path: a HotRoute has no parameters in its path, so finding it needs no matching
        self._plans: dict[int, Plan] = {}  # by id: starlette's routes cannot be hashed, and they live as long as we do

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
        )
        scope[KEY] = state
        current = REQUEST_ID.set(request_id)
        status = 0

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"request-id", request_id.encode()), *state.fields]
            await send(message)

        try:
            if len(headers) != len(scope["headers"]):
                _refuse_repeated(scope)
            if b"%00" in scope["query_string"] or "\0" in scope["path"]:
                raise Refusal(MALFORMED_REQUEST, "The URL contains a NUL character")
            hot = self._hot.get(scope["path"])
            if hot is not None and scope["method"] == hot.method:
                scope["route"] = hot
                await hot.handle(scope, self._bounded(scope, receive, state), numbered)
            else:
                await self._app(scope, self._bounded(scope, receive, state), numbered)
        except asyncio.CancelledError:
            if not status:  # cut off because the process ends: the caller asks again, and another one answers
                gone = self._problems.render(Refusal(UNAVAILABLE), request_id=request_id, instance=scope["path"])
                await gone(scope, receive, numbered)
            raise
        except Exception as error:
            if isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect):
                status = status or 499  # nobody is there to be told; FastAPI wraps it
                return
            problem, where = self._problems.of(error), {"method": scope["method"], "route": route_template(scope)}
            if problem is INTERNAL:
                log.error("unhandled", extra=where, exc_info=error)
            elif problem is UNAVAILABLE:
                log.warning("unavailable", extra={**where, "reason": repr(error)})
            if status:
                raise  # half an answer is out: the connection must break, so that it is not taken for a whole one
            rendered = self._problems.render(error, request_id=request_id, instance=scope["path"])
            await rendered(scope, receive, numbered)
        finally:
            _count(scope, status or 500, perf_counter() - began, opened.span)
            opened.end()
            REQUEST_ID.reset(current)

    def _bounded(self, scope: Scope, receive: Receive, state: RequestState) -> Receive:
        """The receive channel that routes get. It refuses before the first byte what is announced too large, counts
        what comes, and for an ordinary route does what `HotRoute` does by itself: token, content type, strict JSON."""
        seen = 0
        plan: Plan | None = None
        started = complete = False
        chunks: list[bytes] = []

        async def bounded() -> Message:
            nonlocal seen, plan, started, complete
            if complete:  # who asks on waits for the client to go, for as long as that takes
                return await receive()
            if not started:
                started = True
                if not state.checked:
                    plan = self._plan(scope)
                    for guard in plan.guards:
                        await guard(Request(scope))
                length = state.headers.get(b"content-length")
                if length is not None and length.isdigit() and int(length) > state.body_limit:
                    raise _too_large(state.body_limit)
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    message = await receive()
            except TimeoutError:
                raise Refusal(TOO_SLOW, f"No part of the body arrived for {IDLE_SECONDS:g} seconds") from None
            if message["type"] != "http.request":
                return message
            body = message.get("body", b"")
            complete = not message.get("more_body", False)
            seen += len(body)
            if seen > state.body_limit:
                raise _too_large(state.body_limit)
            if plan is not None and plan.json and seen:
                if not is_json(state.header(b"content-type")):
                    raise Refusal(UNSUPPORTED_TYPE, f"Send {JSON}")
                chunks.append(body)
                if complete:
                    strict_json(b"".join(chunks))
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
    """The caller's own when it is sane, else a new one, which is a UUID."""
    if sent is not None and _SANE.fullmatch(sent):
        return sent.decode(), None
    new = new_id()
    return str(new), new


def _refuse_repeated(scope: Scope) -> None:
    """Which of two keys or tokens would count is not for us to guess."""
    seen: set[bytes] = set()
    for name, _ in scope["headers"]:
        if name in _SINGLE and name in seen:
            raise Refusal(MALFORMED_REQUEST, f"The header {name.decode()} was sent twice")
        seen.add(name)


_SINGLE: Final = frozenset(
    {b"authorization", b"content-length", b"content-type", b"idempotency-key", b"request-id", b"correlation-id"}
)


def _too_large(limit: int) -> Refusal:
    return Refusal(TOO_LARGE, f"At most {limit} bytes", extra={"limit": limit})


def _count(scope: Scope, status: int, seconds: float, span: Span | None) -> None:
    method, route = scope["method"], route_template(scope)
    if method not in _METHODS:
        method = "other"
    metrics.requests(method, route, str(status)).inc()
    metrics.latency(method, route).observe(seconds)
    if span is not None:
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(StatusCode.ERROR)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
