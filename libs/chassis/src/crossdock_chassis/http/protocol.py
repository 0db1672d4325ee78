"""uvicorn's HTTP/1.1 protocol with limits on the size and the time of everything but the body.

The parser keeps a header, a trailer or a chunk's extension until it is complete. uvicorn limits neither its length nor
the wait for its end.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crossdock_chassis.ids import new_id
from crossdock_chassis.problems import MALFORMED_REQUEST, TOO_SLOW, Problem, Problems, Refusal

HEAD_BYTES: Final = 64 * 1024
"""It is checked after each read from the socket, so a head may be one read longer."""

HEAD_SECONDS: Final = 30.0

HEAD_TOO_LARGE: Final = Problem(431, "head-too-large", "The header fields are larger than the limit")


class BoundedProtocol(HttpToolsProtocol):
    _unread = 0  # bytes since the last complete head or part of a body
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._got()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif self._unread and self._late is None:
            self._expect()

    def on_headers_complete(self) -> None:
        self._got()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._got()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._got()  # the end of a chunked body may arrive alone, and the response may take longer than HEAD_SECONDS
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MALFORMED_REQUEST)

    def _expect(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _got(self) -> None:
        self._unread = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        if self._unread:
            self._refuse(TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Send the problem and close the connection. Send nothing if part of another response is already sent."""
        self._got()
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            request_id = str(new_id())
            response = Problems().render(Refusal(problem), request_id=request_id, instance="")
            fields = {**response.headers, "request-id": request_id, "connection": "close"}
            lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
            lines += [f"{name}: {value}" for name, value in fields.items()]
            self.transport.write("\r\n".join([*lines, "\r\n"]).encode("latin-1") + bytes(response.body))
        self.transport.close()
