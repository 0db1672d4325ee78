"""How many requests a connection queues, and when it ends: on real sockets."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from crossdock_chassis import Settings, requires, server
from crossdock_chassis.http import protocol
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.protocol import QUEUED, BoundedProtocol
from crossdock_chassis.server import Ops, listening
from crossdock_chassis.testing.signing import Signer

CHILD = Path(__file__).with_name("edge_child.py")
NOPE = b"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n"
FAST = b"GET /fast HTTP/1.1\r\nhost: x\r\n\r\n"
BEFORE_THE_BODY = {
    "404": b"POST /nope HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
    "401": b"POST /mine HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
    "413": b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n",
}


def settings(**more: Any) -> Settings:
    return Settings(postgres="postgresql://r:p@127.0.0.1/db", kafka="127.0.0.1:1", issuer="http://127.0.0.1:1", **more)


class Echo(Response):
    """Sends the body back while it arrives."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for part in Request(scope, receive).stream():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


class Site:
    """An API, and the number of requests that its routes received."""

    def __init__(self) -> None:
        self.served = 0
        self.go_on = asyncio.Event()

    def api(self) -> Api:
        router = APIRouter()

        @router.get("/fast")
        async def get_fast() -> PlainTextResponse:
            self.served += 1
            return PlainTextResponse("fast")

        @router.get("/slow")
        async def get_slow() -> PlainTextResponse:
            self.served += 1
            await self.go_on.wait()
            return PlainTextResponse("slow")

        @router.get("/large")
        async def get_large() -> PlainTextResponse:
            return PlainTextResponse("x" * (32 << 20))

        @router.post("/read")
        async def post_read(request: Request) -> PlainTextResponse:
            return PlainTextResponse(str(len(await request.body())))

        @router.post("/mine", dependencies=[requires("orders:write")])
        async def post_mine(body: dict[str, int]) -> dict[str, int]:
            return body

        @router.post("/stream")
        async def post_stream() -> Response:
            return Echo()

        return Api("tests", [router], verifier=Signer.generate().verifier())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("LOOK_SECONDS", 0.02),
        ("DRAIN_SECONDS", 0.2),
        ("HEAD_SECONDS", 0.5),
        ("PATIENCE_SECONDS", 0.5),
        ("UNREAD_SECONDS", 0.5),
    ):
        monkeypatch.setattr(protocol, name, seconds)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[BoundedProtocol]:
    """The server's ends of all connections."""
    found: list[BoundedProtocol] = []

    class Seen(BoundedProtocol):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            found.append(self)

    monkeypatch.setattr(server, "BoundedProtocol", Seen)
    return found


@asynccontextmanager
async def connected(app: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with (
        listening(app, settings(drain_seconds=0), 0, "PORT") as port,
        asyncio.timeout(30),
        open_to(port) as (reader, writer),
    ):
        yield reader, writer


@asynccontextmanager
async def open_to(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the next answer, which has a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split()[1]), head, await reader.readexactly(length)


async def ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1 << 20):
            pass


# --- pipelining


def test_client_that_pipelines_and_does_not_read_costs_no_memory() -> None:
    """One socket with 19 MiB of requests took 800 MB, and the process kept them."""
    with subprocess.Popen([sys.executable, str(CHILD)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            memory = psutil.Process(process.pid).memory_info
            with socket.create_connection(("127.0.0.1", port), timeout=10) as once:
                once.sendall(NOPE)
                assert b"404" in once.recv(100_000)
            before = memory().rss
            with socket.socket() as flooding:
                flooding.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                flooding.connect(("127.0.0.1", port))
                flooding.settimeout(1.0)
                with suppress(TimeoutError, ConnectionError):
                    for _ in range(100):
                        flooding.sendall(NOPE * (19 * (1 << 20) // len(NOPE) // 100))
                held = memory().rss - before
            assert held < 16 << 20
        finally:
            process.kill()


async def test_answer_does_not_wait_for_an_acknowledgement(made: list[BoundedProtocol]) -> None:
    """An answer is two writes: its head and its body. With Nagle's algorithm the body comes 40 ms later."""
    async with connected(Site().api()) as (reader, writer):
        writer.write(FAST)
        await reader.readuntil(b"\r\n\r\n")
        [served] = made
        connection: socket.socket = served.transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_queue_of_a_connection_has_at_most_16_requests(made: list[BoundedProtocol]) -> None:
    site = Site()
    async with connected(site.api()) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + FAST * 500)
        while not site.served:
            await asyncio.sleep(0.001)
        longest = [len(made[0].pipeline)]
        site.go_on.set()
        assert (await answer(reader))[2] == b"slow"
        for _ in range(500):
            assert (await answer(reader))[2] == b"fast"
            longest.append(len(made[0].pipeline))
    assert 1 < max(longest) <= QUEUED and site.served == 501


async def test_queued_requests_of_a_closed_connection_do_not_run() -> None:
    site = Site()
    async with listening(site.api(), settings(), 0, "PORT") as port, asyncio.timeout(30):
        async with open_to(port) as (_, writer):
            writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + FAST * 10)
            while not site.served:
                await asyncio.sleep(0.001)
        site.go_on.set()
        async with open_to(port) as (reader, writer):
            writer.write(FAST)
            assert (await answer(reader))[0] == 200
    assert site.served == 2


async def test_fault_behind_queued_requests_is_answered_in_its_turn() -> None:
    site = Site()
    async with connected(site.api()) as (reader, writer):
        writer.write(FAST * 3 + b"nonsense\r\n\r\n" + FAST)
        assert [(await answer(reader))[0] for _ in range(4)] == [200, 200, 200, 400]
        assert await reader.read() == b""
    assert site.served == 3


# --- ends of connections


@pytest.mark.parametrize("status", BEFORE_THE_BODY)
@pytest.mark.usefixtures("impatient")
async def test_connection_answered_before_its_body_is_closed(status: str) -> None:
    async with connected(Site().api()) as (reader, writer):
        writer.write(BEFORE_THE_BODY[status])
        found, head, _ = await answer(reader)
        assert b"connection: close" in head
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        await ended(reader)
    assert str(found) == status


async def test_client_that_sends_its_body_first_reads_the_refusal() -> None:
    body = bytes(16 << 20)
    async with connected(Site().api()) as (reader, writer):
        writer.write(b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        assert (await answer(reader))[0] == 413
        assert await reader.read() == b""


async def test_connection_survives_an_answer_that_outlasts_the_body() -> None:
    async with connected(Site().api()) as (reader, writer):
        writer.write(b"POST /stream HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nabc")
        assert b"connection: close" not in await reader.readuntil(b"abc\r\n")
        writer.write(b"def")
        await reader.readuntil(b"def\r\n0\r\n\r\n")
        writer.write(FAST)
        assert (await answer(reader))[0] == 200


@pytest.mark.parametrize("app", ["api", "ops"])
@pytest.mark.usefixtures("impatient")
async def test_body_that_drips_is_given_up(app: str) -> None:
    path, chosen = (b"/read", Site().api()) if app == "api" else (b"/livez", Ops())
    async with connected(chosen) as (reader, writer):
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 999999\r\n\r\n" % path)

        async def drip() -> None:
            with suppress(ConnectionError):
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        status, head, _ = await answer(reader)
        await ended(reader)
        await dripping
    assert b"connection: close" in head
    assert status == 408 or app == "ops"


@pytest.mark.usefixtures("impatient")
async def test_answer_that_nobody_reads_is_given_up(made: list[BoundedProtocol]) -> None:
    async with connected(Site().api()) as (reader, writer):
        writer.write(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        while made[0] in made[0].connections:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("app", ["api", "ops"])
async def test_connections_over_the_limit_get_503(app: str) -> None:
    path, chosen = (b"/fast", Site().api()) if app == "api" else (b"/livez", Ops())
    request = b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path
    async with (
        listening(chosen, settings(connection_limit=2), 0, "PORT") as port,
        asyncio.timeout(30),
        open_to(port) as (reader, writer),
        open_to(port) as (_, other),
    ):
        writer.write(request)
        assert (await answer(reader))[0] == 200
        async with open_to(port) as (refused, _):
            status, head, _ = await answer(refused)
            assert (status, b"retry-after: 1" in head.lower()) == (503, True)
            assert await refused.read() == b""
        other.close()
        while True:
            async with open_to(port) as (reader, writer):
                writer.write(request)
                if (await answer(reader))[0] == 200:
                    break


# --- strictness

ONE = b"GET /fast HTTP/1.1\r\nhost: x\r\n"
POST = b"POST /read HTTP/1.1\r\nhost: x\r\n"
BODY = b"3\r\nabc\r\n0\r\n\r\n"
REFUSED = {
    "no host": b"GET /fast HTTP/1.1\r\n\r\n",
    "two hosts": ONE + b"host: x\r\n\r\n",
    "HTTP/0.9": b"GET /fast\r\n\r\n",
    "HTTP/0.9 by name": b"GET /fast HTTP/0.9\r\nhost: x\r\n\r\n",
    "HTTP/2.0": b"GET /fast HTTP/2.0\r\nhost: x\r\n\r\n",
    "two hosts in HTTP/1.0": b"GET /fast HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n",
    "gzip": POST + b"transfer-encoding: gzip\r\n\r\n" + BODY,
    "gzip, chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + BODY,
    "gzip and chunked": POST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n" + BODY,
    "chunked twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n" + BODY,
    "identity": POST + b"transfer-encoding: identity\r\n\r\n" + BODY,
    "chunked with a parameter": POST + b"transfer-encoding: chunked;x=1\r\n\r\n" + BODY,
    "chunked in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n" + BODY,
    "two framings": POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n" + BODY,
    "a body with Upgrade": POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
}
ACCEPTED = {
    "HTTP/1.0 without host": (b"GET /fast HTTP/1.0\r\n\r\n", b"fast"),
    "Chunked": (POST + b"transfer-encoding: Chunked\r\n\r\n" + BODY, b"3"),
    "Upgrade without a body": (ONE + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n", b"fast"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_head_that_software_reads_differently_is_refused(case: str) -> None:
    site = Site()
    async with connected(site.api()) as (reader, writer):
        writer.write(REFUSED[case])
        status, _, body = await answer(reader)
        assert await reader.read() == b""
    assert (status, b"malformed-request" in body, site.served) == (400, True, 0)


@pytest.mark.parametrize("case", ACCEPTED)
async def test_unusual_but_clear_head_is_accepted(case: str) -> None:
    sent, expected = ACCEPTED[case]
    async with connected(Site().api()) as (reader, writer):
        writer.write(sent + (FAST if b"HTTP/1.0" not in sent else b""))
        assert (await answer(reader))[2] == expected
        if b"HTTP/1.0" not in sent:
            assert (await answer(reader))[2] == b"fast"


# --- any division into parts


async def test_pipelined_bodies_are_read_the_same_however_they_are_cut() -> None:
    """Bodies hold the end of a head, so a search for it finds more than heads."""
    chance = Random(7)
    sent, expected = b"", []
    for _ in range(300):
        body = bytes(chance.randrange(90)) + b"\r\n\r\n" * chance.randrange(4)
        head = b"POST /read HTTP/1.1\r\nhost: x\r\n"
        if chance.random() < 0.5:
            sent += head + b"content-length: %d\r\n\r\n" % len(body) + body
        else:
            sent += head + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % (len(body) + 1) + body + b"x\r\n0\r\n\r\n"
            body += b"x"
        expected.append(b"%d" % len(body))
    async with connected(Site().api()) as (reader, writer):

        async def write() -> None:
            start = 0
            while start < len(sent):
                end = start + chance.choice((1, 2, 3, 50, 1_000, 10_000))
                writer.write(sent[start:end])
                await writer.drain()
                await asyncio.sleep(0)
                start = end

        writing = asyncio.create_task(write())
        assert [(await answer(reader))[2] for _ in expected] == expected
        await writing
