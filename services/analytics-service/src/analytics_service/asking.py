"""Ask services over HTTP with the token of the caller. A call is bounded in time and size, and changes nothing."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

SECONDS: Final = 2.0
"""The longest time for an answer. A page waits for the slowest service, so it is short."""
MAX_BYTES: Final = 4 << 20

Answer = TypeVar("Answer", bound=BaseModel)


class NoAnswer(Exception):
    """The service gave no answer that can be used. `reason` is for people, `status` is that of a refusal."""

    def __init__(self, service: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{service}: {reason}")
        self.service, self.reason, self.status = service, reason, status


def token_of(request: Request) -> str:
    """Return the `Authorization` header of the request, to ask other services as its caller."""
    return request.headers["authorization"]


class Services:
    """The services by name, with their addresses."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)
        # No connection is kept open: one that its service is just closing would look like a service that is away.
        self._http = httpx.AsyncClient(
            timeout=None,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=0),
            trust_env=False,
            follow_redirects=False,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._addresses))

    async def ask(
        self,
        service: str,
        path: str,
        answer: type[Answer],
        *,
        token: str,
        query: Mapping[str, str | int] | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """Return the answer to `GET path`, checked against its model. Raise NoAnswer.

        `path` must have its parts quoted. `token` is the caller's `Authorization` header.
        """
        seconds = SECONDS if seconds is None else seconds
        if service not in self._addresses:
            raise NoAnswer(service, "no address is configured")
        try:
            async with asyncio.timeout(seconds):
                status, body = await self._get(f"{self._addresses[service]}{path}", token, query)
        except TimeoutError as error:
            raise NoAnswer(service, f"no answer within {seconds:g} s") from error
        except (httpx.HTTPError, OSError) as error:
            raise NoAnswer(service, _reason(error)) from error
        if status != 200:
            raise NoAnswer(service, f"HTTP {status}", status)
        if body is None:
            raise NoAnswer(service, f"more than {MAX_BYTES} bytes")
        try:
            return answer.model_validate_json(body)
        except ValidationError as error:
            raise NoAnswer(service, f"an answer of another form: {_fault(error)}") from error

    async def _get(self, url: str, token: str, query: Mapping[str, str | int] | None) -> tuple[int, bytes | None]:
        """Return status and body of the answer, without the body if it is too large."""
        headers = {"authorization": token, "accept": "application/json"}
        body = bytearray()
        async with self._http.stream("GET", url, headers=headers, params=query) as answer:
            if answer.status_code == 200:
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        return answer.status_code, None
            return answer.status_code, bytes(body)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return type(error).__name__


def _fault(error: ValidationError) -> str:
    first: dict[str, Any] = {**error.errors(include_url=False, include_input=False)[0]}
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
