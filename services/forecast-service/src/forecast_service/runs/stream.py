"""Follow a run live: an event for each change of its progress."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from crossdock_chassis import Database, abandon, is_transient, still_valid, streamed
from forecast_service.runs import views

LOOK_SECONDS: Final = 1.0
COMMENT_SECONDS: Final = 15.0
TOKEN_SECONDS: Final = 5.0


class RunStream(Response):
    """The answer of a stream. It ends with the run, with the token, and with its client."""

    media_type = "text/event-stream"

    def __init__(self, database: Database, request: Request, id: UUID) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._database, self._request, self._id = database, request, id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        without_body = streamed(self._request)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if not without_body:
            gone = asyncio.create_task(_gone(receive))
            try:
                async for chunk in self._chunks(gone):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                abandon(gone)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self, gone: "asyncio.Task[None]") -> AsyncIterator[bytes]:
        shown, wrote, looked = b"", time.monotonic(), time.monotonic()
        while not gone.done():
            state, now = None, time.monotonic()
            try:
                async with self._database.unit() as unit:
                    run = await views.get(unit.sql, self._id)
                state, document = run.state, run.model_dump_json(exclude={"estimated_end", "rate"}).encode()
                if document != shown:
                    shown, wrote = document, now
                    yield b"event: run\ndata: " + run.model_dump_json().encode() + b"\n\n"
            except Exception as error:
                if not is_transient(error):
                    raise
            if state not in (None, "running"):
                return
            if now - looked > TOKEN_SECONDS:
                if not await still_valid(self._request):
                    return
                looked = now
            if now - wrote > COMMENT_SECONDS:
                yield b": here\n\n"
                wrote = now
            await asyncio.wait({gone}, timeout=LOOK_SECONDS)


async def _gone(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
