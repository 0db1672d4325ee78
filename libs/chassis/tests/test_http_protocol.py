"""Bytes that never become a request, or arrive too slowly: on real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from crossdock_chassis import Settings
from crossdock_chassis.http import protocol
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.protocol import HEAD_BYTES
from crossdock_chassis.server import listening
from crossdock_chassis.testing.signing import Signer

SETTINGS = Settings(postgres="postgresql://r:p@127.0.0.1/db", kafka="127.0.0.1:1", issuer="http://127.0.0.1:1")
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "path": (b"GET /", b"a"),
    "header": (b"GET / HTTP/1.1\r\nx: ", b"a"),
    "headers": (b"GET / HTTP/1.1\r\n", b"x: 1\r\n"),
    "trailer": (CHUNKED + b"0\r\nx: ", b"a"),
    "chunk extension": (CHUNKED + b"1;x=", b"a"),
}


router = APIRouter()


@router.api_route("/", methods=["GET", "POST"])
async def count(request: Request) -> PlainTextResponse:
    """Return the length of the body."""
    return PlainTextResponse(str(len(await request.body())))


@router.post("/slow")
async def count_slowly(request: Request) -> PlainTextResponse:
    answer = await count(request)
    await asyncio.sleep(0.6)
    return answer


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    api = Api("tests", [router], verifier=Signer.generate().verifier())
    async with asyncio.timeout(20), listening(api, SETTINGS, 0, "PORT") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, start: bytes) -> None:
    """Sends that, and what comes after the head only when the head was read."""
    head, end, rest = start.partition(CHUNKED)
    writer.write(head + end)
    if end:
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
    writer.write(rest)


async def pour(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
    """Send until the other side hangs up."""
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    """Return the status and the problem of the last response on the connection."""
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head and b"request-id: " in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_never_ends_is_cut_off(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "DRAIN_SECONDS", 0.1)
    start, more = ENDLESS[what]
    async with connected() as (reader, writer):
        await begin(reader, writer, start)
        await pour(writer, repeat(more * (100_000 // len(more))))


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_is_too_large_is_said_so(what: str) -> None:
    start, more = ENDLESS[what]
    async with connected() as (reader, writer):
        await begin(reader, writer, start)
        left = HEAD_BYTES - len(start.removeprefix(CHUNKED))
        writer.write(more * (left // len(more) + 1))
        status, problem = await answered(reader)
    assert (status, problem["type"]) == (431, "urn:crossdock:problem:head-too-large")


@pytest.mark.parametrize("rule", ["total time", "rate"])
@pytest.mark.parametrize("what", ENDLESS)
async def test_what_comes_too_slowly_is_given_up(what: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    for name in ("HEAD_SECONDS", "BODY_SECONDS") if rule == "total time" else ("PATIENCE_SECONDS",):
        monkeypatch.setattr(protocol, name, 0.2)
    start, more = ENDLESS[what]
    async with connected() as (reader, writer):
        await begin(reader, writer, start)

        async def drip() -> None:
            while True:
                writer.write(more)
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        status, problem = await answered(reader)
        dripping.cancel()
    assert (status, problem["type"]) == (408, "urn:crossdock:problem:too-slow")


async def test_who_says_nothing_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    async with connected() as (reader, _):
        assert await reader.read() == b""


async def test_what_is_not_http_is_400() -> None:
    async with connected() as (reader, writer):
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        status, problem = await answered(reader)
    assert (status, problem["type"]) == (400, "urn:crossdock:problem:malformed-request")


async def test_a_slow_request_in_small_pieces_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may take longer than a head."""
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    pieces = [b"POST / HTTP/1.1\r\n", b"host: x\r\ntransfer-encoding: ", b"chunked\r\n", b"\r\n"]
    pieces += [b"1", b"\r\na\r\n"] * 30 + [b"%x\r\n" % (4 * HEAD_BYTES), bytes(4 * HEAD_BYTES), b"\r\n0\r\n", b"\r\n"]
    async with connected() as (reader, writer):
        for _ in range(2):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(6) == b"%d" % (4 * HEAD_BYTES + 30)


async def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a chunked body whose end came by itself."""
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "PATIENCE_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.2)
    async with connected() as (reader, writer):
        await begin(reader, writer, CHUNKED.replace(b"/ ", b"/slow ", 1))
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"0"


async def test_a_connection_is_good_for_any_number_of_requests() -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\nx: %s\r\n\r\n" % (b"a" * 10_000)
    async with connected() as (reader, writer):
        for _ in range(2 * HEAD_BYTES // len(head)):
            writer.write(head)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readexactly(1)
