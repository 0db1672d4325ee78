"""Feed every route that reads a body the worst garbage of its allowed size, and measure the gaps of the event loop.

The services answer `/livez` on the event loop that also parses bodies. So the slowest answer to a ping is at least the
longest gap between two turns of the loop. The worker is pinged as well, until it has ended the import of an upload.
"""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from bench.stack import BenchFailed
from crossdock_cli.imports import ENDED
from order_service.orders.batch import MAX_BYTES

CASE_SECONDS: Final = 3.0
"""Longest time for one body. A body that takes longer is cut off."""
IMPORT_SECONDS: Final = 120.0
CHUNK: Final = 1 << 18
MIB: Final = 1 << 20
HEAD: Final = 1 << 12
"""Bytes in which a header is searched. To search a long answer would delay the thread that pings."""
VALUES: Final = 19_000  # just below the most values of a JSON document

Garbage = Callable[[int], bytes]
"""Return a body of about so many bytes."""


def _members(count: int) -> bytes:
    return b",".join(b'"%05x":1' % number for number in range(count))


def _repeated(part: bytes, *, start: bytes = b"") -> Garbage:
    return lambda size: start + part * ((size - len(start)) // len(part))


def _unknown_members(size: int) -> bytes:
    return b"{%s}" % _members(min(size // 10, VALUES))


def _unknown_members_of_lines(size: int) -> bytes:
    return b'{"lines":[%s]}' % b",".join([b"{%s}" % _members(9)] * min(size // 91, VALUES // 10))


KINDS: Final[Mapping[str, Mapping[str, Garbage]]] = {
    "application/json": {
        "unknown members": _unknown_members,
        "unknown members of lines": _unknown_members_of_lines,
        "more members than allowed": lambda size: b"{%s}" % _members(size // 10),
        "brackets": _repeated(b"["),
        "an open quote": _repeated(b'\\",', start=b'{"a":"'),
        "a NUL behind many values": lambda size: b'{"a":[%s"\\u0000"]}' % (b"1," * min(size // 2, VALUES)),
    },
    "application/x-ndjson": {
        "one-letter lines": _repeated(b"x\n"),
        "empty objects": _repeated(b"{}\n"),
        "newlines": _repeated(b"\n"),
        "one line": _repeated(b"x"),
        "unknown members of lines": lambda size: (_unknown_members_of_lines(size) + b"\n") * (1 + size // (9 * VALUES)),
        "unknown members": lambda size: (_unknown_members(size) + b"\n") * max(1, size // (10 * VALUES)),
    },
    "text/csv": {
        "wrong rows": _repeated(b"-,x\n", start=b"item_id,description\n"),
        "newlines": _repeated(b"\n"),
        "blank rows": _repeated(b",\n", start=b"item_id,description\n"),
        "an open quote and newlines": _repeated(b"\n", start=b'item_id\n"'),
        "columns": _repeated(b"a,"),
    },
}
_IMPORT: Final = re.compile(rb"(?m)^location: (/v1/imports/\S+)")
SIZES: Final = {"application/json": MIB, "application/x-ndjson": MAX_BYTES, "text/csv": 16 * MIB}


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest gap while a route was fed, and the kind of garbage that caused it."""

    route: Route
    kind: str
    milliseconds: float


def routes(openapi: Mapping[str, Any]) -> Iterator[tuple[Route, str]]:
    """Yield each route that reads a body, with a path in which the parameters have values."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            for media_type in operation.get("requestBody", {}).get("content", {}):
                filled = path
                for parameter in operation.get("parameters", ()):
                    if parameter["in"] == "path":
                        filled = filled.replace(f"{{{parameter['name']}}}", _example(parameter["schema"]))
                yield Route(method.upper(), path, media_type), filled


def _example(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return str(schema["enum"][0])
    if schema.get("format") == "uuid":
        return "018f0000-0000-7000-8000-000000000000"
    return "1"


def feed(url: str, ops_urls: Sequence[str], token: str, share: float) -> Iterator[Gap]:
    """Send each kind of garbage to each route, `share` of the allowed size, and ping the ops ports meanwhile.

    Yield the longest gap of each route. Raise BenchFailed if a route accepts garbage.
    """
    with httpx.Client(headers={"authorization": f"Bearer {token}"}) as client:  # to make one would delay the pings
        for route, path in routes(client.get(f"{url}/openapi.json").json()):
            worst = Gap(route, "", 0.0)
            for kind, made in KINDS[route.media_type].items():
                body = made(round(SIZES[route.media_type] * share))
                with ExitStack() as pings:
                    slowest = [pings.enter_context(pinging(each)) for each in ops_urls]
                    answer = send(url, route, path, token, body)
                    if found := _IMPORT.search(answer, 0, HEAD):
                        follow(client, f"{url}{found[1].decode()}", kind)
                if answer.startswith(b"HTTP/1.1 5"):
                    raise BenchFailed(f"{route.method} {route.path} answers {kind} with {answer[:400]!r}")
                gap = Gap(route, kind, max(each() for each in slowest) * 1e3)
                worst = max(worst, gap, key=lambda gap: gap.milliseconds)
            yield worst


def follow(client: httpx.Client, url: str, kind: str) -> None:
    """Wait until an import has ended. Raise BenchFailed if it was not refused."""
    deadline = time.monotonic() + IMPORT_SECONDS
    while (state := client.get(url).json()["state"]) != "refused":
        if state in ENDED or time.monotonic() > deadline:
            raise BenchFailed(f"the import of {kind} is {state}")
        time.sleep(0.1)


def send(url: str, route: Route, path: str, token: str, body: bytes) -> bytes:
    """Send the body while the answer is read, and return the answer. Stop after `CASE_SECONDS`."""
    address = urlsplit(url)
    head = (
        f"{route.method} {path} HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {token}\r\n"
        f"connection: close\r\ncontent-type: {route.media_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answer, deadline = [], time.monotonic() + CASE_SECONDS
    with socket.create_connection((address.hostname, address.port), timeout=CASE_SECONDS) as connection:

        def write() -> None:
            with suppress(OSError):
                connection.sendall(head.encode())
                for start in range(0, len(body), CHUNK):
                    connection.sendall(body[start : start + CHUNK])

        writing = threading.Thread(target=write)
        writing.start()
        with suppress(OSError):
            while time.monotonic() < deadline and (part := connection.recv(CHUNK)):
                answer.append(part)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        writing.join()
    return b"".join(answer)


@contextmanager
def pinging(ops_url: str) -> Iterator[Callable[[], float]]:
    """Ping in a thread, and yield a function that returns the seconds of the slowest ping at the end."""
    slowest, stop = 0.0, threading.Event()

    def ping() -> None:
        nonlocal slowest
        connection = http.client.HTTPConnection(urlsplit(ops_url).netloc)
        while not stop.is_set():
            began = time.monotonic()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.001)
        connection.close()

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield lambda: slowest
    finally:
        stop.set()
        thread.join()
