"""The ops port for probes and metrics, the HTTP listener, and the order in which a process shuts down.

/livez    does the process make progress     200, or 503 with the reason: restart the process
/readyz   should the process get traffic     200, or 503 with the reason: send traffic elsewhere
/metrics  Prometheus text
"""

import asyncio
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Receive, Scope, Send

from crossdock_chassis.http.protocol import BoundedProtocol
from crossdock_chassis.observability import metrics
from crossdock_chassis.observability.logging import message_of
from crossdock_chassis.settings import Settings

Check = Callable[[], Awaitable[str | None]]
"""Return None if the check passes, else a short reason."""

_PAGES: Final = ("/livez", "/readyz", "/metrics")

PATIENCE: Final = 2.0  # seconds; a check that takes longer has failed

log = logging.getLogger(__name__)


async def well() -> str | None:
    return None


class Ops:
    """`live` checks progress. `ready` checks the database, not Kafka: orders are accepted while the broker is away."""

    def __init__(self, *, live: Check = well, ready: Check = well) -> None:
        self._live, self._ready = live, ready
        self.unready: str | None = None  # the reason while the process starts or drains

    def drain(self) -> None:
        """Refuse readiness from now on: the process finishes its work and takes no more."""
        self.unready = "draining"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        match scope["path"]:
            case path if path in _PAGES and scope["method"] != "GET":
                await _answer(send, 405, b'{"status":"only GET"}', allow=b"GET")
            case "/livez":
                await _answer(send, *await _checked(self._live))
            case "/readyz" if self.unready:
                await _answer(send, *_no(self.unready))
            case "/readyz":
                await _answer(send, *await _checked(self._ready))
            case "/metrics":
                await _answer(send, 200, metrics.exposition(), CONTENT_TYPE_LATEST)
            case _:
                await _answer(send, 404, b'{"status":"no such page"}')


async def _checked(check: Check) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(PATIENCE):
            reason = await check()
    except Exception as error:
        reason = f"{type(error).__name__}: {message_of(error)}" if str(error) else type(error).__name__
    if reason is None:
        return 200, b'{"status":"ok"}'
    return _no(reason)


def _no(reason: str) -> tuple[int, bytes]:
    return 503, json.dumps({"status": "no", "reason": reason}).encode()


async def _answer(
    send: Send, status: int, body: bytes, media_type: str = "application/json", allow: bytes = b""
) -> None:
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    if allow:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which drains its parts in order. uvicorn would stop at once."""
        yield

    async def main_loop(self) -> None:
        """Wait for `stop`. uvicorn's own loop wakes ten times a second, for the Date header and its own limits."""
        await self._stopping.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()


@contextmanager
def signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets. A second signal ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def received() -> None:
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, received)
    try:
        yield stop
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)


@asynccontextmanager
async def listening(
    app: ASGIApp,
    settings: Settings,
    port: int,
    variable: str,
    closed: asyncio.Event | None = None,
    *,
    host: str | None = None,
) -> AsyncIterator[int]:
    """Listen on `host`, or the API's host, and yield the port.

    At the end of the block, drain requests in flight for at most `drain_seconds`.

    `closed` is set when the server has ended, also by itself.

    Raise SystemExit with a sentence if the process cannot listen on the port.
    """
    bound = _bind(host or settings.host, port, variable)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,  # the protocol adds it
        proxy_headers=False,
        backlog=2048,
        limit_concurrency=settings.connection_limit,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
    server, listens_at = _Server(config), int(bound.getsockname()[1])
    running = asyncio.create_task(server.serve(sockets=[bound]))
    if closed is not None:
        running.add_done_callback(lambda _: closed.set())
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        yield listens_at
    finally:
        server.stop()
        await running


def _bind(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle's algorithm on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SystemExit(f"{variable}: cannot listen on {host}:{port}: {reason}.") from None
    bound.setblocking(False)
    return bound


@asynccontextmanager
async def ops_port(ops: Ops, settings: Settings, closed: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Serve health and metrics until the block ends. The block contains the API, so this port closes last."""
    async with listening(
        ops, settings, settings.ops_port, "CROSSDOCK_OPS_PORT", closed, host=settings.ops_host
    ) as port:
        yield port


class ListenerClosed(Exception):
    """A listener ended before the process was stopped."""


async def until(stop: asyncio.Event, closed: asyncio.Event) -> None:
    """Wait for `stop`. Raise ListenerClosed if a listener closes before."""
    waits = [asyncio.ensure_future(each.wait()) for each in (stop, closed)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    if not stop.is_set():
        raise ListenerClosed


@asynccontextmanager
async def serving(api: ASGIApp, ops: Ops, settings: Settings, closed: asyncio.Event) -> AsyncIterator[None]:
    """Serve both ports until the block ends. Readiness is refused until the API listens.

    At the end of the block, readiness is refused first, and load balancers get `unready_seconds` to notice. The API
    finishes the requests in flight, and the ops port closes last. `closed` is set if a listener ends by itself.
    """
    ops.unready = "starting"
    async with (
        ops_port(ops, settings, closed) as ops_at,
        listening(api, settings, settings.http_port, "CROSSDOCK_HTTP_PORT", closed) as http_port,
    ):
        where = {"host": settings.host, "http_port": http_port, "ops_host": settings.ops_host, "ops_port": ops_at}
        log.info("listening", extra=where)
        ops.unready = None
        yield
        ops.drain()
        log.info("draining", extra={"seconds": settings.drain_seconds})
        await asyncio.sleep(settings.unready_seconds)
