"""A console for tests: the service over real HTTP, the development issuer, a service behind it, and a browser."""

import asyncio
import html
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from analytics_service.service import Settings, build
from analytics_service.sign_in.cookie import NAME
from crossdock_chassis import Service
from crossdock_chassis.server import listening
from crossdock_chassis.testing import Fresh
from crossdock_local import issuer
from crossdock_local.people.applications import application, keep_applications
from crossdock_local.ports import free_ports

CLIENT, SECRET = "crossdock-console", "0123456789abcdef" * 2
KEY = "a2V5IG9mIHRoZSBjb25zb2xlIGZvciB0aGUgdGVzdHM="


@asynccontextmanager
async def serving(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]  # they belong to pytest
    running = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await running


@contextmanager
def _no_signals() -> Iterator[None]:
    yield


@dataclass
class DevelopmentIssuer:
    """The issuer, over HTTP. It counts the requests of each path, and gives tokens while `gives` is set."""

    url: str
    home: Path
    app: ASGIApp
    asked: list[str] = field(default_factory=list)
    away: bool = False
    slow: float = 0.0
    gives: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gives.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await asyncio.sleep(self.slow)
        if scope["path"] == "/oauth/token":
            await self.gives.wait()
        answer: ASGIApp = Response(status_code=503) if self.away else self.app
        await answer(scope, receive, send)

    def restart(self) -> None:
        self.app = issuer.app(self.home, self.url)

    @property
    def token_calls(self) -> int:
        return self.asked.count("/oauth/token")


@asynccontextmanager
async def development_issuer(home: Path) -> AsyncIterator[DevelopmentIssuer]:
    with issuer.listen("127.0.0.1", 0) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        running = DevelopmentIssuer(url, home, issuer.app(home, url))
        async with serving(running, bound):
            yield running


@dataclass
class Upstream:
    """A service behind the console. It has routes that its OpenAPI file lists, and one that it hides."""

    seen: list[Request] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> Starlette:
        listed: dict[str, dict[str, dict[str, str]]] = {
            "/v1/echo": {"get": {}, "post": {}},
            "/v1/things/{id}:act": {"post": {}},
            "/v1/things/{id}": {"get": {}},
            "/v1/events": {"get": {}},
            "/v1/endless": {"get": {}},
            "/v1/elsewhere": {"get": {}},
            "/v1/broken": {"get": {}},
            "/v1/slow": {"get": {}},
        }

        async def openapi(_: Request) -> Response:
            return JSONResponse({"openapi": "3.1.0", "paths": listed})

        routes = [
            Route("/openapi.json", openapi),
            Route("/v1/echo", self._echo, methods=["GET", "POST"]),
            Route("/v1/things/{rest:path}", self._echo, methods=["GET", "POST"]),
            Route("/v1/events", self._events),
            Route("/v1/endless", self._endless),
            Route("/v1/elsewhere", self._elsewhere),
            Route("/v1/broken", self._broken),
            Route("/v1/slow", self._slow),
            Route("/v1/hidden", self._echo),
        ]
        return Starlette(routes=routes)

    async def _echo(self, request: Request) -> Response:
        body = await request.body()
        self.seen.append(request)
        shown = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": dict(request.headers),
            "bytes": len(body),
        }
        return JSONResponse(shown, headers={"Set-Cookie": "evil=1", "X-Powered-By": "x", "ETag": '"7"'})

    async def _events(self, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            try:
                yield "id: 1\ndata: first\n\n"
                await self.go_on.wait()
                yield "id: 2\ndata: second\n\n"
                await asyncio.Event().wait()
            finally:
                self.left.set()

        return StreamingResponse(events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _endless(self, _: Request) -> Response:
        async def zeros() -> AsyncIterator[bytes]:
            while True:
                yield b"0" * (1 << 20)
                await asyncio.sleep(0)  # a server does not wait in `send` after its client has left

        return StreamingResponse(zeros(), media_type="application/octet-stream")

    async def _elsewhere(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["to"], 303)

    async def _slow(self, _: Request) -> Response:
        await asyncio.sleep(1)
        return Response()

    async def _broken(self, _: Request) -> Response:
        async def half() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionError("broken")

        return StreamingResponse(half(), headers={"Content-Length": "8"})


@dataclass
class Console:
    """A console at `url`, and what stands behind it."""

    url: str
    service: Service
    issuer: DevelopmentIssuer
    upstream: Upstream
    upstream_running: AsyncExitStack
    http: httpx.AsyncClient

    async def stop_upstream(self) -> None:
        await self.upstream_running.aclose()

    def browser(self) -> "Browser":
        return Browser(self, self.url)


@dataclass
class Browser:
    """A browser with the console's cookie. It follows no redirect by itself. `url` may be another process's."""

    console: Console
    url: str
    cookie: str | None = None

    async def send(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a request as a page of the console does, and keep the cookie of the answer."""
        asked = self.headers(method) | (headers or {})
        asked = {name: value for name, value in asked.items() if value != ""}
        answer = await self.console.http.request(method, self.url + path, headers=asked, **more)
        self.keep(answer)
        return answer

    def headers(self, method: str = "GET") -> dict[str, str]:
        found = {"Cookie": f"{NAME}={self.cookie}"} if self.cookie else {}
        if method not in ("GET", "HEAD"):
            found |= {"Origin": self.console.url, "Crossdock-Console": "1"}
        return found

    def keep(self, answer: httpx.Response) -> None:
        for each in answer.headers.get_list("set-cookie"):
            name, _, value = each.partition(";")[0].partition("=")
            assert name == NAME
            assert "; Path=/; Secure; HttpOnly; SameSite=Lax" in each
            self.cookie = value or None

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.send("GET", path, **more)

    async def post(self, path: str, **more: Any) -> httpx.Response:
        return await self.send("POST", path, **more)

    async def to_issuer(self, return_to: str = "/orders?status=placed") -> str:
        """Start a sign-in and return the issuer's address."""
        answer = await self.get("/session/sign-in", params={"return_to": return_to})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def choose(self, address: str, person: str = "dev-operator") -> str:
        """Choose a person on the issuer's page and return the path of the callback, with its query."""
        shown = await self.console.http.get(address)
        action = html.unescape(re.findall(r'action="([^"]+)"', shown.text)[0])
        headers = {"Origin": self.console.issuer.url}
        target = f"{self.console.issuer.url}/oauth/authorize{action}"
        back = await self.console.http.post(target, data={"person": person}, headers=headers)
        location = str(back.headers["location"])
        assert location.startswith(f"{self.console.url}/session/callback?")
        return location.removeprefix(self.console.url)

    async def sign_in(self, person: str = "dev-operator") -> None:
        answer = await self.get(await self.choose(await self.to_issuer(), person))
        assert (answer.status_code, answer.headers["location"]) == (303, "/orders?status=placed")

    async def answers(self) -> bool:
        try:
            return (await self.get("/session")).status_code in (200, 401)
        except httpx.ConnectError:
            return False

    async def who(self) -> str | None:
        answer = await self.get("/session")
        return str(answer.json()["person"]["subject"]) if answer.status_code == 200 else None


def parameters(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def kind(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the type of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, json.loads(answer.text)["type"].removeprefix("urn:crossdock:problem:")


def let_in(home: Path, url: str) -> None:
    """Register the console at the issuer."""
    keep_applications(home, [application(CLIENT, SECRET, [f"{url}/session/callback"], [f"{url}/"])])


@asynccontextmanager
async def api(service: Service) -> AsyncIterator[str]:
    """Serve an API process of the service on the port of its settings, and yield its URL."""
    async with listening(service.api(), service.settings, service.settings.http_port, "CROSSDOCK_HTTP_PORT") as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def another_api(console: Console, **settings: Any) -> AsyncIterator[Browser]:
    """Serve one more API process on the same database, with other settings, and yield a browser of it."""
    own = console.service.settings
    assert isinstance(own, Settings)
    service = build(own.model_copy(update={"http_port": 0, **settings}))
    try:
        async with api(service) as url:
            yield Browser(console, url)
    finally:
        await service.database.close()


@asynccontextmanager
async def api_process(console: Console) -> AsyncIterator[Browser]:
    """Run one more API process on the same database, a real one, and yield a browser of it."""
    own = console.service.settings
    assert isinstance(own, Settings)
    port = next(free_ports())
    given = {
        "POSTGRES": own.postgres,
        "KAFKA": own.kafka,
        "ISSUER": own.issuer,
        "HTTP_PORT": str(port),
        "OPS_PORT": "0",
        "CONSOLE_URL": console.url,
        "SIGN_IN_SECRET": SECRET,
        "SIGN_IN_KEY": KEY,
        "SERVICES": json.dumps(own.services),
        "LOG_LEVEL": "warning",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    environment |= {f"CROSSDOCK_{name}": value for name, value in given.items()}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "analytics_service", "api", env=environment)
    try:
        browser = Browser(console, f"http://127.0.0.1:{port}")
        async with asyncio.timeout(60):
            while not await browser.answers():
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield browser
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def running_console(fresh: Fresh, home: Path, files: Path, **settings: Any) -> AsyncIterator[Console]:
    """Run everything that a signed-in page needs. `home` is the folder of the issuer, `files` that of the console."""
    port, upstream = next(free_ports()), Upstream()
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(development_issuer(home))
        behind = await stack.enter_async_context(AsyncExitStack())
        bound = behind.enter_context(socket.create_server(("127.0.0.1", 0)))
        await behind.enter_async_context(serving(upstream.app(), bound))
        let_in(home, url)
        given = {
            "issuer": own.url,
            "http_port": port,
            "drain_seconds": 1,
            "console": files,
            "console_url": url,
            "sign_in_secret": SECRET,
            "sign_in_key": KEY,
            "services": {
                "analytics-service": url,
                "upstream": f"http://127.0.0.1:{bound.getsockname()[1]}",
                "away": "http://127.0.0.1:1",
            },
        }
        service = await fresh(build, Settings, **(given | settings))
        await stack.enter_async_context(api(service))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30))
        yield Console(url, service, own, upstream, behind, http)
