"""uvicorn's HTTP/1.1 protocol with limits on size, time and pipelining, and strict about the form of a request.

The parser keeps a header, a trailer or a chunk's extension until it is complete. uvicorn limits neither its length nor
the wait for its end. It queues pipelined requests without a limit. Its connections outlive an answer that was sent
before the body was read.

Each connection looks at its client once a second. A timer for each request would cost more than the request's head.
"""

import asyncio
import time
from collections.abc import Collection
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from crossdock_chassis.ids import new_id
from crossdock_chassis.observability import metrics
from crossdock_chassis.problems import MALFORMED_REQUEST, TOO_SLOW, Problem, Problems, Refusal

HEAD_BYTES: Final = 64 * 1024
"""It is checked after each read from the socket, so a head may be one read longer."""

QUEUED: Final = 16
"""Pipelined requests that wait for their turn on one connection. While a request waits, nothing more is read."""

LOOK_SECONDS: Final = 1.0

HEAD_SECONDS: Final = 30.0
"""The longest wait for a whole head, and for the first request of a connection."""

BODY_SECONDS: Final = 300.0
"""The longest wait for a whole body. Pauses that the server causes by not reading do not count."""

SLOWEST: Final = 1024
"""The lowest rate of a head or a body, in bytes a second."""

PATIENCE_SECONDS: Final = 30.0
"""How long a head or a body may be slower than that."""

UNREAD_SECONDS: Final = 60.0
"""How long a client may leave an answer unread."""

DRAIN_SECONDS: Final = 2.0
"""How long the rest of a request is read after its answer. Without that, the kernel would reset the connection, and
the client would lose the answer."""

HEAD_TOO_LARGE: Final = Problem(431, "head-too-large", "The header fields are larger than the limit")
TOO_MANY_CONNECTIONS: Final = Problem(
    503,
    "too-many-connections",
    "The service has too many open connections; wait Retry-After seconds, then connect again",
    headers={"Retry-After": "1"},
)

HEAD_END: Final = b"\r\n\r\n"  # the parser accepts no other end of a head


@lru_cache(maxsize=1)
def _dated(second: int) -> list[tuple[bytes, bytes]]:
    """Return the Date field of a second. uvicorn wakes each second to renew it, also if nobody sends a request."""
    return [(b"date", formatdate(second, usegmt=True).encode())]


class _Malformed(Exception):
    """The head of a request breaks a rule; the message is for the client."""


class _Flow(FlowControl):
    """Resume reading only if no request waits in the queue. Otherwise each answer would let more requests in."""

    def __init__(self, transport: asyncio.Transport, queue: Collection[object]) -> None:
        super().__init__(transport)
        self._queue = queue

    def resume_reading(self) -> None:
        if not self._queue:
            super().resume_reading()


class _Exchange(RequestResponseCycle):
    """One request and its answer. `refusal` is raised when the application reads on; it renders the problem.

    `last`: the connection ends after the answer.
    """

    refusal: Refusal | None = None
    last = False

    def refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        if self.refusal is not None and message["type"] == "http.request":
            raise self.refusal
        return message

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            # A whole answer ends before the rest of the body arrives. A streamed one may outlast the body.
            if self.more_body and any(name == b"content-length" for name, _ in message.get("headers", ())):
                self.keep_alive = False
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            # uvicorn would close at once, unread bytes or not. The protocol closes after a drain.
            self.last, self.keep_alive = self.more_body or not self.keep_alive, True
        await super().send(message)


class BoundedProtocol(HttpToolsProtocol):
    """`limit_concurrency` of uvicorn's configuration limits the connections."""

    flow: _Flow
    cycle: _Exchange  # the newest request
    _current: _Exchange | None = None  # the request that is being answered
    _unparsed = b""  # read, but not parsed as long as the queue is full
    _parsed = 0  # bytes of `_unparsed` that are parsed
    _unread = 0  # bytes since the last complete head or part of a body
    _arrived = 0  # bytes since the last look
    _waited = 0.0  # seconds for the present head, body or drain
    _credit = PATIENCE_SECONDS
    _blocked = 0.0  # seconds that the client left an answer unread
    _deaf = False  # discard what arrives
    _draining = False
    _parting: Refusal | None = None  # the answer after those to earlier requests
    _watch: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            if len(self.connections) > 2 * self.limit_concurrency:
                transport.abort()  # even a refusal takes a moment
            else:
                self._refuse(TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        self.pipeline.clear()
        self._unparsed = b""
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
        super().connection_lost(exc)

    # --- what arrives

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._arrived += len(data)
        if self.pipeline or self._unparsed or data.count(HEAD_END) > 1:
            self._unparsed += data
            self._parse()
        else:
            self._feed(data)

    def _parse(self) -> None:
        """Parse the bytes that were held back, head by head, as long as the queue has room.

        A part may complete two heads if the first one began in an earlier part.
        """
        while self._unparsed and len(self.pipeline) < QUEUED - 1:
            found = self._unparsed.find(HEAD_END, self._parsed)
            end = len(self._unparsed) if found < 0 else found + len(HEAD_END)
            part = self._unparsed[self._parsed : end]
            self._parsed = end
            if end == len(self._unparsed):
                self._unparsed, self._parsed = b"", 0
            self._feed(part)

    def _feed(self, data: bytes) -> None:
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # an offer that a server may ignore
            self._feed(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            fault = error.__context__
            self._refuse(MALFORMED_REQUEST, str(fault) if isinstance(fault, _Malformed) else "")
        else:
            if self._unread > HEAD_BYTES:
                self._refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._begin_wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        version, method = self.parser.get_http_version(), self.parser.get_method().decode("ascii")
        self._check(version, method)
        self._unread = 0
        self._begin_wait()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope["method"] = method
        self.scope["http_version"] = version
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""
        self.cycle = _Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=_dated(int(time.time())),
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if self._current is None:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _check(self, version: str, method: str) -> None:
        """Raise _Malformed for a head that other software might read in another way."""
        fields = dict(self.headers)
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if version not in ("1.0", "1.1"):
            raise _Malformed("Send HTTP/1.1")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise _Malformed("Send one Host header")
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (
            version == "1.0" or coding.lower() != b"chunked" or names.count(b"transfer-encoding") > 1
        ):
            raise _Malformed("The only transfer coding is chunked, once, in HTTP/1.1")
        if self.parser.should_upgrade() and (
            method == "CONNECT" or coding is not None or fields.get(b"content-length", b"0") != b"0"
        ):  # the parser takes the body for the next request
            raise _Malformed("The service speaks HTTP/1.1 alone: send a body without Upgrade")

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0  # the end of a chunked body may arrive alone
        super().on_message_complete()

    # --- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        assert isinstance(cycle, _Exchange)
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        done, self._current = self._current, None
        if done is None or self.transport.is_closing():
            return
        if done.last:
            self._leave()
        elif self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            self._parse()
        elif self._parting is not None:
            self._part(self._parting)
        else:
            self._begin_wait()
        self.flow.resume_reading()

    def pause_writing(self) -> None:
        self._blocked = 0.0
        super().pause_writing()

    def _refuse(self, problem: Problem, detail: str = "") -> None:
        """Read no more, and answer the problem in its turn: earlier requests get their answers first."""
        self._deaf, self._unparsed, self._parsed = True, b"", 0
        refusal = Refusal(problem, detail)
        if self._receiving():
            self.cycle.refuse(refusal)
        elif self._current is not None:
            self._parting = refusal
        else:
            self._part(refusal)

    def _part(self, refusal: Refusal) -> None:
        metrics.REFUSED.labels(refusal.problem.type).inc()
        request_id = str(new_id())
        response = Problems().render(refusal, request_id=request_id, instance="")
        fields = {**response.headers, "request-id": request_id, "connection": "close"}
        status = refusal.problem.status
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {fields[name]}" for name in fields)]
        self.transport.write("\r\n".join([*lines, "\r\n"]).encode("latin-1") + bytes(response.body))
        self._drain()

    def _leave(self) -> None:
        if self._receiving() or self.flow.read_paused:
            self._drain()
        else:
            self.transport.close()

    def _drain(self) -> None:
        self._deaf = self._draining = True
        self.pipeline.clear()
        self._unparsed, self._parsed = b"", 0
        self._begin_wait()
        self.flow.resume_reading()
        self.transport.write_eof()

    # --- time

    def _receiving(self) -> bool:
        """Return whether the body of the newest request is incomplete."""
        return self.cycle is not None and self.cycle.more_body

    def _begin_wait(self) -> None:
        self._waited, self._credit, self._arrived = 0.0, PATIENCE_SECONDS, 0

    def _look(self) -> None:
        """Give up a client that takes too long. A look counts as one second, even if a busy loop delayed it."""
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)
        self._waited += LOOK_SECONDS
        self._blocked += LOOK_SECONDS
        closing = self.transport.is_closing()
        if not closing and not self.flow.write_paused:
            self._blocked = 0.0
        if self._blocked > UNREAD_SECONDS:
            self.transport.abort()
        elif self._draining:
            if self._waited > DRAIN_SECONDS and not self.transport.get_write_buffer_size():
                self.transport.abort()
        elif closing:
            pass  # what is written is still being sent
        elif self._receiving():
            self._hurry(BODY_SECONDS)
        elif self._unread:
            self._hurry(HEAD_SECONDS)
        elif self._current is not None or self.transport.get_write_buffer_size():
            self._begin_wait()
        elif self._waited > (HEAD_SECONDS if self.cycle is None else self.timeout_keep_alive):
            self.transport.close()

    def _hurry(self, seconds: float) -> None:
        if self.flow.read_paused or self._deaf:
            self._waited -= LOOK_SECONDS
            return
        self._credit = min(PATIENCE_SECONDS, self._credit + self._arrived / SLOWEST) - LOOK_SECONDS
        self._arrived = 0
        if self._credit < 0:
            self._refuse(TOO_SLOW, f"Less than {SLOWEST} bytes a second arrived for {PATIENCE_SECONDS:g} seconds")
        elif self._waited > seconds:
            self._refuse(TOO_SLOW, f"A part of the request did not arrive whole in {seconds:g} seconds")
