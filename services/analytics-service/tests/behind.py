"""A service that analytics-service asks over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from consoles import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

OUTBOX = {"depth": 0, "age_seconds": 0.0, "limit": 1000, "relay_runs": True}
OPERATIONS = {"service": "x", "at": "2026-03-01T12:00:00Z", "outbox": OUTBOX, "groups": [], "jobs": []}
EMPTY: dict[str, Any] = {"items": [], "next": None}


class Behind:
    """A service that is asked. Tests replace the answer of a path."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/v1/operations": OPERATIONS,
            "/v1/dead-letters": EMPTY,
            "/v1/dead-letters/causes": EMPTY,
            "/v1/stopped": EMPTY,
            "/v1/reactions": EMPTY,
        }
        self.tokens: set[str] = set()
        self.slow: float = 0.0

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer)])

    async def _answer(self, request: Request) -> Response:
        self.tokens.add(request.headers["authorization"])
        await asyncio.sleep(self.slow)
        answer = self.answers.get(request.url.path, JSONResponse({}, 404))
        return answer if isinstance(answer, Response) else JSONResponse(answer)


@asynccontextmanager
async def answering(behind: Behind) -> AsyncIterator[str]:
    """Serve it, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        async with serving(behind.app(), bound):
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
