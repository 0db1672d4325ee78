"""Pass the console's calls on to the services: `/api/{service}/v1/…`, with the token of the person who is signed in.

Only routes of the services' OpenAPI files, and only the headers below, in both directions. Answers stream through, so
that server-sent events arrive at once.
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from analytics_service.sign_in.openapi import METHODS, NoFile, OpenApiFiles
from analytics_service.sign_in.person import People, check_page
from analytics_service.sign_in.store import Session
from crossdock_chassis import METHOD_NOT_ALLOWED, TOO_LARGE, Problem, Refusal, limit_body, streamed

NOT_PASSED_ON: Final = Problem(404, "not-passed-on", "No service of the console has this route in its OpenAPI file")
SERVICE_AWAY: Final = Problem(
    503,
    "service-away",
    "The service does not answer, and nothing was done; wait Retry-After seconds, then retry",
    headers={"Retry-After": "2"},
)
NO_ANSWER: Final = Problem(
    504, "no-answer", "The service did not answer in time, so the outcome is unknown; look before you send it again"
)
ANSWER_TOO_LARGE: Final = Problem(502, "answer-too-large", "The answer of the service is larger than the limit")
TOO_MANY_CALLS: Final = Problem(
    429,
    "too-many-calls",
    "Too many calls of this session are open; wait for answers, then retry",
    headers={"Retry-After": "1"},
)

MAX_BODY_BYTES: Final = 64 << 20
"""The largest upload of a service. Each service has lower limits of its own."""
MAX_ANSWER_BYTES: Final = 64 << 20
CALLS: Final = 64
"""Open calls of a session in this process, streams included."""
CONNECT_SECONDS: Final = 3.0
QUIET_SECONDS: Final = 60.0
"""The longest pause in an answer. A stream sends a comment more often."""
LOOK_SECONDS: Final = 10.0
"""How often a stream of events asks whether its person is still signed in."""
WHOLE_SECONDS: Final = 300.0
"""The longest time for a call that is no stream of events."""

SENT: Final = frozenset(
    {
        "accept",
        "accept-language",
        "content-length",
        "content-type",
        "correlation-id",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "prefer",
        "request-id",
        "traceparent",
    }
)
RETURNED: Final = frozenset(
    {
        "allow",
        "cache-control",
        "content-disposition",
        "content-language",
        "content-length",
        "content-type",
        "deprecation",
        "etag",
        "idempotent-replayed",
        "last-modified",
        "preference-applied",
        "retry-after",
        "sunset",
        "x-accel-buffering",
    }
)
RATE_LIMIT: Final = re.compile(r"(?:x-)?ratelimit(?:-[a-z]+)?")
OWN_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
EVENTS: Final = "text/event-stream"
_PATH: Final = re.compile(r"/v\d+/[!-~]+")

log = logging.getLogger(__name__)


class Passing:
    """The way to the services. `origin` is the one of the console's pages."""

    def __init__(self, services: Mapping[str, str], http: httpx.AsyncClient, people: People, origin: str) -> None:
        self._services, self._http, self._people, self._origin = services, http, people, origin
        self._files, self._open = OpenApiFiles(services, http), Counter[bytes]()

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/{service}/{path:path}", self._pass_on, methods=sorted(METHODS))]

    async def _pass_on(self, request: Request) -> Response:
        check_page(request, self._origin)
        session = await self._people.with_token(request)
        service, path = request.path_params["service"], f"/{request.path_params['path']}"
        await self._check_route(service, path, request.method)
        if self._open[session.id] >= CALLS:
            raise Refusal(TOO_MANY_CALLS, f"At most {CALLS} at once", extra={"limit": CALLS})
        self._open[session.id] += 1
        try:
            answer = await self._ask(request, f"{self._services[service]}{path}", session.access)
        except BaseException:
            self._leave(session.id)
            raise
        return self._returned(request, answer, service, session)

    async def _check_route(self, service: str, path: str, method: str) -> None:
        """Raise Refusal 404 or 405 unless the OpenAPI file of the service has the route."""
        if service not in self._services or not _PATH.fullmatch(path) or _climbs(path):
            raise Refusal(NOT_PASSED_ON)
        try:
            allowed = await self._files.methods(service, path)
        except NoFile as error:
            log.warning("service away", extra={"of": service, "reason": str(error)})
            raise Refusal(SERVICE_AWAY, f"{service} does not show its routes") from error
        if not allowed:
            raise Refusal(NOT_PASSED_ON)
        if method not in allowed:
            methods = ", ".join(sorted(allowed))
            raise Refusal(METHOD_NOT_ALLOWED, f"The methods of this path are {methods}", headers={"Allow": methods})

    async def _ask(self, request: Request, url: str, token: str) -> httpx.Response:
        """Send the request and return the answer, of which only the head has been read."""
        headers = {name: value for name, value in request.headers.items() if name in SENT}
        headers |= {"authorization": f"Bearer {token}", "accept-encoding": "identity"}
        query: bytes = request.scope["query_string"]
        address = httpx.URL(url)
        address = address.copy_with(raw_path=address.raw_path + (b"?" + query if query else b""))
        length = request.headers.get("content-length")
        has_body = length is not None or "transfer-encoding" in request.headers
        if length is not None and length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise Refusal(TOO_LARGE, f"The body has more than {MAX_BODY_BYTES} bytes", extra={"limit": MAX_BODY_BYTES})
        limit_body(request, MAX_BODY_BYTES)
        asked = self._http.build_request(
            request.method, address, headers=headers, content=request.stream() if has_body else None
        )
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                return await self._http.send(asked, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            log.warning("service away", extra={"reason": f"{type(error).__name__}: {error}"})
            raise Refusal(SERVICE_AWAY) from error
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("no answer", extra={"reason": f"{type(error).__name__}: {error}"})
            raise Refusal(NO_ANSWER) from error

    def _returned(self, request: Request, answer: httpx.Response, service: str, session: Session) -> Response:
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name in RETURNED or RATE_LIMIT.fullmatch(name) is not None
        }
        # A path of the service becomes a path of the console. Any other address is left out.
        if (location := answer.headers.get("location", "")).startswith("/v"):
            headers["location"] = f"/api/{service}{location}"
        streams = answer.headers.get("content-type", "").startswith(EVENTS)
        if streams:
            streamed(request)
        return StreamingResponse(self._body(answer, session, streams), answer.status_code, {**headers, **OWN_HEADERS})

    async def _body(self, answer: httpx.Response, session: Session, streams: bool) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Break the connection if the service breaks its own or a limit is passed.

        A stream of events ends when its session has ended. That is noticed when the next event or comment arrives.
        """
        seen, look_at = 0, time.monotonic() + LOOK_SECONDS
        try:
            async with asyncio.timeout(None if streams else WHOLE_SECONDS):
                async for chunk in answer.aiter_raw():
                    seen += len(chunk)
                    if seen > MAX_ANSWER_BYTES and not streams:
                        raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes from the service")
                    if streams and time.monotonic() > look_at:
                        if not await self._people.still_signed_in(session):
                            return
                        look_at = time.monotonic() + LOOK_SECONDS
                    yield chunk
        finally:
            self._leave(session.id)
            await asyncio.shield(answer.aclose())

    def _leave(self, session: bytes) -> None:
        self._open[session] -= 1
        if not self._open[session]:
            del self._open[session]


def _climbs(path: str) -> bool:
    """Return whether a segment of the path is `.` or `..`, or has a character that some servers take for a slash."""
    segments = [unquote_to_bytes(each) for each in path.split("/")]
    return any(each in (b".", b"..") or b"\\" in each or b"\0" in each for each in segments)
