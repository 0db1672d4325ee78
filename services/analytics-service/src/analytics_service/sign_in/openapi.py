"""The routes of the services, from the OpenAPI file that each service serves. No other route is passed on."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

FRESH_SECONDS: Final = 60.0
"""How long a file counts as new. A service that is deployed anew may have more routes."""
SECONDS: Final = 5.0
MAX_FILE_BYTES: Final = 8 << 20
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_PARAMETER: Final = re.compile(r"{[^{}]*}")

log = logging.getLogger(__name__)


class NoFile(Exception):
    """The service does not answer with its OpenAPI file."""


@dataclass(frozen=True, slots=True)
class Routes:
    """The paths of a service, each with its methods. A path is matched as it is in the request, undecoded."""

    found: tuple[tuple[re.Pattern[str], frozenset[str]], ...]
    read_at: float

    def methods(self, path: str) -> frozenset[str]:
        """Return the methods of the path, none if no route has it."""
        return frozenset().union(*(methods for pattern, methods in self.found if pattern.fullmatch(path)))


def routes_of(document: Mapping[str, Any], read_at: float = 0.0) -> Routes:
    """Return the routes of an OpenAPI document. Raise ValueError if it is none."""
    paths = document.get("paths")
    if not isinstance(paths, dict):
        raise ValueError("no paths")
    found = []
    for path, operations in paths.items():
        methods = {name.upper() for name in operations} & METHODS
        if "GET" in methods:
            methods.add("HEAD")
        literals = [re.escape(each) for each in _PARAMETER.split(path)]
        found.append((re.compile("[^/]+".join(literals)), frozenset(methods)))
    return Routes(tuple(found), read_at)


class OpenApiFiles:
    """Reads each file when it is first needed and when it is old. While a service is away, its old file counts."""

    def __init__(self, services: Mapping[str, str], http: httpx.AsyncClient) -> None:
        self._services, self._http = services, http
        self._routes: dict[str, Routes] = {}
        self._locks = {name: asyncio.Lock() for name in services}

    async def methods(self, service: str, path: str) -> frozenset[str]:
        """Return the methods of a path of the service, none if no route has it. Raise NoFile."""
        known = self._routes.get(service)
        if known is None or time.monotonic() - known.read_at > FRESH_SECONDS:
            async with self._locks[service]:
                if self._routes.get(service) is known:
                    known = self._routes[service] = await self._read(service, known)
                known = self._routes[service]
        return known.methods(path)

    async def _read(self, service: str, known: Routes | None) -> Routes:
        try:
            async with asyncio.timeout(SECONDS):
                return routes_of(await self._document(f"{self._services[service]}/openapi.json"), time.monotonic())
        except (httpx.HTTPError, TimeoutError, ValueError, AttributeError, TypeError, RecursionError) as error:
            if known is None:
                raise NoFile(f"{type(error).__name__}: {error}") from error
            log.warning("no new OpenAPI file", extra={"of": service, "reason": f"{type(error).__name__}: {error}"})
            return Routes(known.found, time.monotonic())

    async def _document(self, url: str) -> Mapping[str, Any]:
        body = bytearray()
        async with self._http.stream("GET", url) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_FILE_BYTES:
                    raise ValueError(f"more than {MAX_FILE_BYTES} bytes")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        return document
