"""Bodies of many lines, read while they come and answered while they are read."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Final

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from crossdock_chassis._problems import TOO_LARGE, Refusal

NDJSON: Final = "application/x-ndjson"


async def lines(request: Request, *, longest: int = 1 << 20) -> AsyncIterator[tuple[int, bytes]]:
    """The number (from 1) and the bytes of each line that is not blank; the last needs no newline.

    Raises Refusal 413 for a line beyond `longest` bytes, so that one line without an end cannot fill the memory.
    """
    number, rest = 0, b""
    async for chunk in request.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            if len(line) > longest:
                raise _too_long(number, longest)
            if line := line.strip():
                yield number, line
        if len(rest) > longest:
            raise _too_long(number + 1, longest)
    if rest := rest.strip():
        yield number + 1, rest


def _too_long(number: int, longest: int) -> Refusal:
    return Refusal(TOO_LARGE, f"Line {number} is longer than {longest} bytes", extra={"line": number, "limit": longest})


class Streamed(Response):
    """Chunks as they are made. Starlette's StreamingResponse listens for a disconnect meanwhile, and so swallows the
    body of a request that is still being read; this one notices when the body does.

    The first chunk is made before the status goes out: what is raised until then is still a problem of its own.
    """

    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = NDJSON,
    ) -> None:
        self._chunks = chunks
        self.status_code, self.media_type, self.background = status, media_type, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunks = aiter(self._chunks)
        chunk = await anext(chunks, b"")
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
