"""An HTTP/1.1 client that uses little processor time, so that it does not limit the measured rate.

It has keep-alive connections without pipelining, requests rendered beforehand, and httptools to parse answers. A closed
load is as fast as the answers: each connection sends its next request when the previous one is answered. An open load
has a steady rate: each request has its own time, whether or not earlier ones are answered.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import cast

import httptools


class LoadFailed(Exception):
    """A connection broke, or some requests were not answered in time."""


@dataclass(slots=True)
class Answer:
    """An answer, with times of the machine's monotonic clock in seconds.

    `due`: when the request should have been sent (open load) or was sent (closed load).
    """

    number: int
    due: float = 0.0
    status: int = 0
    answered: float = 0.0
    body: bytes = b""


def request(path: str, host: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Line:
    """A queue of due requests, and a stack of free connections.

    The connection that was used last is used first. The server closes connections that are idle for seconds.
    """

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.requests = requests
        self.answers: list[Answer] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due: deque[Answer] = deque()
        self._free: list[_Connection] = []

    def add(self, answer: Answer) -> None:
        if self._free:
            self._free.pop().send(answer)
        else:
            self._due.append(answer)

    def free(self, connection: "_Connection") -> None:
        if self._due:
            connection.send(self._due.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: "_Connection") -> None:
        if connection in self._free:
            self._free.remove(connection)
            if not self._free:
                self.failed("the server closed the last idle connection")

    def answered(self, connection: "_Connection", answer: Answer) -> None:
        self.answers.append(answer)
        if len(self.answers) == len(self.requests):
            if not self.done.done():
                self.done.set_result(None)
        else:
            self.free(connection)

    def failed(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoadFailed(reason))


class _Connection(asyncio.Protocol):
    def __init__(self, line: _Line) -> None:
        self._line = line
        self._answer: Answer | None = None
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has other base classes

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._line.failed(f"an answer is not HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._line.lost(self)
        if self._answer is not None:
            self._line.failed(f"a connection was lost while request {self._answer.number} was open: {error}")

    def send(self, answer: Answer) -> None:
        assert self._transport is not None
        self._answer = answer
        answer.due = answer.due or monotonic()
        self._transport.write(self._line.requests[answer.number])

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        answer.answered = monotonic()
        answer.status = self._parser.get_status_code()
        answer.body = b"".join(self._body)
        self._body = []
        self._line.answered(self, answer)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def post_all(
    host: str, port: int, requests: Sequence[bytes], *, connections: int, rate: float | None = None, seconds: float
) -> list[Answer]:
    """Send all requests and return their answers in the order of arrival.

    `rate`: requests a second; None sends a closed load. Raise LoadFailed if a connection breaks or after `seconds`.
    """
    loop = asyncio.get_running_loop()
    line = _Line(requests)
    made = [await loop.create_connection(lambda: _Connection(line), host, port) for _ in range(connections)]
    start = monotonic()
    try:
        for _, connection in made:
            line.free(connection)
        async with asyncio.timeout(seconds):
            if rate is None:
                for number in range(len(requests)):
                    line.add(Answer(number))
            else:
                await _paced(line, start, rate)
            await line.done
    except TimeoutError:
        raise LoadFailed(f"{len(line.answers)} of {len(requests)} requests were answered in {seconds:g} s") from None
    finally:
        for _, connection in made:
            connection.close()
    return line.answers


async def _paced(line: _Line, start: float, rate: float) -> None:
    for number in range(len(line.requests)):
        due = start + number / rate
        if (ahead := due - monotonic()) > 0:
            await asyncio.sleep(ahead)
        line.add(Answer(number, due))
