"""HTTP conventions: answers, idempotency keys, causes, versions, cursors, and the route for the hot path."""

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, TypeAdapter

from crossdock_chassis.commands.idempotency import IdempotentRequest
from crossdock_chassis.http.auth import authenticate
from crossdock_chassis.http.hot_route import media_type
from crossdock_chassis.http.request import route_template, state_of
from crossdock_chassis.ids import new_id
from crossdock_chassis.problems import (
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    UNSUPPORTED_TYPE,
    Problem,
    Refusal,
)
from crossdock_events import Cause

T = TypeVar("T")

BAD_CURSOR: Final = Problem(400, "bad-cursor", "The cursor is not one this list gave out")
BAD_KEY: Final = Problem(400, "bad-idempotency-key", "An Idempotency-Key is 1 to 255 printable ASCII characters")
MAX_WAIT: Final = 10.0


def json_response(model: BaseModel, status: int = 200, *, replayed: bool = False, **headers: str) -> Response:
    """A model as a response, serialised once. `location="/v1/…"`, `etag='"3"'`: underscores become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if replayed:
        named["Idempotent-Replayed"] = "true"
    return Response(model.__pydantic_serializer__.to_json(model), status, named or None, "application/json")


# --- who may say this twice


@dataclass(frozen=True, slots=True)
class Key:
    """An `Idempotency-Key` before its body is known. Without the header `of` answers None."""

    partner: str
    route: str
    path: str
    key: str | None

    def of(self, body: BaseModel | bytes | None) -> IdempotentRequest | None:
        """The request as the idempotency table knows it. The fingerprint is of the path and the *validated* body, so
        that another order of members or a default written out is the same request; bytes are one already written."""
        if self.key is None:
            return None
        digest = hashlib.blake2b(self.path.encode(), digest_size=16)
        if body is not None:
            written = body if isinstance(body, bytes) else body.__pydantic_serializer__.to_json(body)
            digest.update(b"\0" + written)
        return IdempotentRequest(self.partner, self.route, self.key, digest.digest())


async def _idempotency_key(request: Request) -> Key:
    state = state_of(request)
    caller = state.caller or await authenticate(state)
    scope = request.scope
    key = state.header(b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refusal(BAD_KEY)
    return Key(caller.partner, f"{scope['method']} {route_template(scope)}", scope["path"], key)


_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
IdempotencyKey = Annotated[Key, Depends(_idempotency_key)]
"""`key: IdempotencyKey`, then `await place(command, key.of(body))`."""


# --- why it happens


async def _cause(request: Request) -> Cause:
    state = state_of(request)
    correlation = _uuid(state.header(b"correlation-id")) or state.correlation or _uuid(state.request_id)
    return Cause(correlation or new_id(), None, state.traceparent)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None and len(text) in (32, 36) else None
    except ValueError:
        return None


cause = Depends(_cause)
"""`why: Annotated[Cause, cause]`: correlated by the caller's `correlation-id` or `Request-Id` when it is a UUID."""


# --- which version is meant


def etag(version: int | str) -> str:
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Match:
    """`If-Match` as sent: None when absent."""

    tags: frozenset[str] | None

    def check(self, version: int | str, *, required: bool = False) -> None:
        """Raises Refusal: 412 when another version is current, 428 when one must be named and was not."""
        if self.tags is None:
            if required:
                raise Refusal(PRECONDITION_REQUIRED)
        elif "*" not in self.tags and etag(version) not in self.tags:
            raise Refusal(PRECONDITION_FAILED, headers={"ETag": etag(version)})


async def _if_match(request: Request) -> Match:
    text = state_of(request).header(b"if-match")
    return Match(None if text is None else frozenset(tag.strip() for tag in text.split(",")))


IfMatch = Annotated[Match, Depends(_if_match)]


# --- lists


class Cursor(Generic[T]):
    """Where a list goes on, opaque to clients.

    ORDERS = Cursor("orders", tuple[datetime, UUID])
    next = ORDERS.encode((row.placed_at, row.id));  after = ORDERS.decode(cursor)
    """

    def __init__(self, name: str, position: type[T], *, version: int = 1) -> None:
        self._head = [name, version]
        self._adapter: TypeAdapter[T] = TypeAdapter(position)

    def encode(self, position: T) -> str:
        document = [*self._head, self._adapter.dump_python(position, mode="json")]
        return base64.urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).rstrip(b"=").decode()

    def decode(self, text: str | None) -> T | None:
        """None stays None. Raises Refusal 400 for anything this list did not give out."""
        if text is None:
            return None
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            *head, position = json.loads(raw)
            if head != self._head:
                raise ValueError("another list's, or an older one")
            return self._adapter.validate_python(position)
        except (ValueError, TypeError, binascii.Error, RecursionError) as error:
            raise Refusal(BAD_CURSOR) from error


PageLimit = Annotated[int, Query(ge=1, le=200, description="How many at most")]
PageCursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before")]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = None


# --- how long the caller is ready to wait


async def _wait(request: Request) -> float:
    text = state_of(request).header(b"prefer")
    found = _WAIT.search(text) if text else None
    return min(float(found[1]), MAX_WAIT) if found else 0.0


_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)
Wait = Annotated[float, Depends(_wait)]
"""Seconds from `Prefer: wait=N`, at most 10; 0 when absent or unreadable, as RFC 7240 wants."""


# --- bodies that are not one JSON document


def accepts(wanted: str, *, limit: int | None = None) -> Any:
    """Dependency of a route that reads its own body: 415 for another content type, `limit` bytes instead of the usual.

    `body: Annotated[None, accepts("application/x-ndjson", limit=32 << 20)]`
    """

    async def check(request: Request) -> None:
        state = state_of(request)
        if media_type(state.header(b"content-type")) != wanted:
            raise Refusal(UNSUPPORTED_TYPE, f"Send {wanted}")
        if limit is not None:
            state.body_limit = limit

    return Depends(check)
