"""Serve the files of the console. A page of the console has many addresses, and all of them get `index.html`."""

import asyncio
import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from crossdock_chassis import NOT_FOUND, Problem, Refusal

NOT_BUILT: Final = Problem(404, "console-not-built", "This installation has no built console; the HTTP API works")
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASSETS: Final = "assets/"
"""The build names these files by their content, so a browser may keep them."""
NO_PAGES: Final = ("v1/", "api/", "session/", ASSETS)
COMPRESSED: Final = (".css", ".html", ".js", ".json", ".svg")
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost")


class ConsoleFiles:
    """The files below a folder, which may be replaced at any time. `origin` is the address of the console."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._files = StaticFiles(directory=folder, check_dir=False)
        self._origin = origin

    @property
    def routes(self) -> list[Route]:
        return [Route("/{path:path}", self._serve)]

    async def _serve(self, request: Request) -> Response:
        path = request.path_params["path"]
        if path.startswith(NO_PAGES) and not path.startswith(ASSETS):
            raise Refusal(NOT_FOUND)
        wants_page = "text/html" in request.headers.get("accept", "")
        if wants_page and (elsewhere := self._elsewhere(request)) is not None:
            return RedirectResponse(elsewhere, 307, {"Cache-Control": "no-store"})
        answer = await self._file(path or "index.html", request)
        if answer is None and wants_page and not path.startswith(ASSETS):
            answer = await self._file("index.html", request)
            if answer is None:
                raise Refusal(NOT_BUILT)
        if answer is None:
            raise Refusal(NOT_FOUND)
        if isinstance(answer, FileResponse) and "gzip" in request.headers.get("accept-encoding", ""):
            answer = await _compressed(answer)
        answer.headers.update(HEADERS)
        answer.headers["Vary"] = "Accept-Encoding"
        answer.headers["Cache-Control"] = FOR_EVER if path.startswith(ASSETS) else "no-cache"
        return answer

    async def _file(self, path: str, request: Request) -> Response | None:
        try:
            return await self._files.get_response(path, request.scope)
        except HTTPException as error:
            if error.status_code == 404:
                return None
            raise

    def _elsewhere(self, request: Request) -> str | None:
        """Return the console's address if the page was asked for under this machine's other name.

        The cookie and the redirect address of a sign-in belong to one of the two names.
        """
        scheme, _, host = self._origin.partition("://")
        name, colon, port = host.partition(":")
        asked = request.headers.get("host", "")
        others = [f"{each}{colon}{port}" for each in LOOPBACK_NAMES if each != name and name in LOOPBACK_NAMES]
        if asked not in others:
            return None
        query = request.scope["query_string"].decode("latin-1")
        return f"{scheme}://{host}/{request.path_params['path'].lstrip('/')}{'?' if query else ''}{query}"


async def _compressed(answer: FileResponse) -> Response:
    """Return the file compressed if that helps. Its entity tag becomes weak, because the bytes are others."""
    path = Path(answer.path)
    if path.suffix not in COMPRESSED or answer.status_code != 200:
        return answer
    found = await asyncio.to_thread(path.stat)
    body = await asyncio.to_thread(_gzipped, path, found.st_mtime_ns, found.st_size)
    headers = {"Content-Encoding": "gzip", "ETag": f"W/{answer.headers['etag']}"}
    return Response(body, headers=headers, media_type=answer.media_type)


@lru_cache(maxsize=64)
def _gzipped(path: Path, changed: int, size: int) -> bytes:
    """Return the compressed file. `changed` and `size` make a replaced file another one."""
    return gzip.compress(path.read_bytes(), mtime=0)
