"""HTTP conventions: answers, idempotency keys, causes, versions, cursors, and the route for the hot path."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, TypeAdapter

from crossdock_chassis.commands.coalescer import Contended, Overloaded, Unavailable
from crossdock_chassis.commands.idempotency import KEPT_HOURS, IdempotentRequest, InFlight, KeyReused
from crossdock_chassis.content import NOTHING, Content
from crossdock_chassis.http.auth import authenticate
from crossdock_chassis.http.dependencies import Body, Dependency, Header
from crossdock_chassis.http.hot_route import media_type, unsupported_type
from crossdock_chassis.http.request import route_template, state_of
from crossdock_chassis.ids import new_id
from crossdock_chassis.problems import (
    BAD_CURSOR,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    TOO_LARGE,
    TOO_SLOW,
    UNSUPPORTED_TYPE,
    Problem,
    Refusal,
    fault,
)
from crossdock_events import Cause

T = TypeVar("T")

BAD_KEY: Final = Problem(400, "bad-idempotency-key", "The Idempotency-Key is not 1 to 255 printable ASCII characters")
COMMAND_PROBLEMS: Final = (Overloaded.problem, Contended.problem, Unavailable.problem)
"""The problems of a route that passes commands to a `Coalescer`. The dependencies on `Idempotency-Key` and `If-Match`
include them. A route with a coalescer and neither header lists them itself."""
MAX_WAIT: Final = 10.0


def json_response(model: BaseModel, status: int = 200, *, replayed: bool = False, **headers: str) -> Response:
    """Return a model as a response, serialised once. `location="/v1/…"`, `etag='"3"'`: underscores become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if replayed:
        named["Idempotent-Replayed"] = "true"
    return Response(model.__pydantic_serializer__.to_json(model), status, named or None, "application/json")


# --- idempotency keys


@dataclass(frozen=True, slots=True)
class Key:
    """An `Idempotency-Key` before its body is known. Without the header `of` returns None."""

    account: str
    route: str
    path: str
    key: str | None

    def of(self, body: BaseModel | Content | None) -> IdempotentRequest | None:
        """Return the request for the idempotency table. Its fingerprint covers the path and the content of the body."""
        if self.key is None:
            return None
        content = Content.of(body) if isinstance(body, BaseModel) else body or NOTHING
        digest = hashlib.blake2b(self.path.encode() + b"\0" + content.fingerprint, digest_size=16)
        return IdempotentRequest(self.account, self.route, self.key, digest.digest(), content)


class _IdempotencyKey(Dependency):
    problems: ClassVar[tuple[Problem, ...]] = (BAD_KEY, InFlight.problem, KeyReused.problem, *COMMAND_PROBLEMS)
    header: ClassVar[Header] = Header(
        "Idempotency-Key",
        f"1 to 255 printable ASCII characters, kept for {KEPT_HOURS} hours. The same request under the same key gets "
        "the first answer again, marked `Idempotent-Replayed: true`",
        {"minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
    )

    async def __call__(self, request: Request) -> Key:
        state = state_of(request)
        caller = state.caller or await authenticate(state)
        scope = request.scope
        key = state.header(b"idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise Refusal(BAD_KEY, errors=[fault("header", "Idempotency-Key", BAD_KEY.title, "bad_key")])
        return Key(caller.account, f"{scope['method']} {route_template(scope)}", scope["path"], key)


_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
IdempotencyKey = Annotated[Key, Depends(_IdempotencyKey())]
"""`key: IdempotencyKey`, then `await place(command, key.of(body))`."""


# --- causes


class _Cause(Dependency):
    header: ClassVar[Header] = Header(
        "Correlation-Id", "A UUID that every event of this request carries; without it the request id"
    )

    async def __call__(self, request: Request) -> Cause:
        state = state_of(request)
        correlation = _uuid(state.header(b"correlation-id")) or state.correlation or _uuid(state.request_id)
        return Cause(correlation or new_id(), None, state.traceparent)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None and len(text) in (32, 36) else None
    except ValueError:
        return None


cause = Depends(_Cause())
"""`why: Annotated[Cause, cause]`: correlated by the client's `Correlation-Id` or `Request-Id` if it is a UUID."""


# --- versions


def etag(version: int | str) -> str:
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Match:
    """The tags of `If-Match`, None without the header."""

    tags: frozenset[str] | None

    def check(self, version: int | str) -> None:
        """Raise Refusal 412 if another version is current."""
        if self.tags is not None and "*" not in self.tags and etag(version) not in self.tags:
            current = etag(version)
            detail = f"The current version is {current}"
            raise Refusal(
                PRECONDITION_FAILED,
                errors=[fault("header", "If-Match", detail, "other_version")],
                headers={"ETag": current},
            )


class _IfMatch(Dependency):
    problems: ClassVar[tuple[Problem, ...]] = (PRECONDITION_FAILED, *COMMAND_PROBLEMS)
    header: ClassVar[Header] = Header(
        "If-Match", "The `ETag` of the version to change; if another version is current, nothing changes"
    )

    async def __call__(self, request: Request) -> Match:
        text = state_of(request).header(b"if-match")
        return Match(None if text is None else frozenset(tag.strip() for tag in text.split(",")))


class _RequiredIfMatch(_IfMatch):
    problems: ClassVar[tuple[Problem, ...]] = (PRECONDITION_REQUIRED, *_IfMatch.problems)

    async def __call__(self, request: Request) -> Match:
        match = await super().__call__(request)
        if match.tags is None:
            raise Refusal(
                PRECONDITION_REQUIRED, errors=[fault("header", "If-Match", "The header is missing", "missing")]
            )
        return match


IfMatch = Annotated[Match, Depends(_IfMatch())]
RequiredIfMatch = Annotated[Match, Depends(_RequiredIfMatch())]
"""A request without the header gets 428."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The tags of `If-None-Match`: the copies that the client has."""

    tags: frozenset[str]

    def answer(self, tag: str, content: bytes, media_type: str) -> Response:
        """Return the content with its tag, or 304 without a body if the client has it."""
        if self.tags & {tag, "*"}:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(content, headers={"ETag": tag}, media_type=media_type)


class _IfNoneMatch(Dependency):
    header: ClassVar[Header] = Header("If-None-Match", "The `ETag` of your copy; if it is current, the answer is 304")

    async def __call__(self, request: Request) -> Copy:
        text = state_of(request).header(b"if-none-match") or ""
        return Copy(frozenset(tag.strip().removeprefix("W/") for tag in text.split(",")))


IfNoneMatch = Annotated[Copy, Depends(_IfNoneMatch())]


# --- lists


class Cursor(Generic[T]):
    """The position after a page of a list, opaque to clients.

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
        """Return the position, or None for None. Raise Refusal 400 if `encode` did not make the text."""
        if text is None:
            return None
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            *head, position = json.loads(raw)
            if head != self._head:
                raise ValueError("a cursor of another list, or of an older version of this list")
            found = self._adapter.validate_python(position)
            _check_storable(found)
            if self.encode(found) != text:
                raise ValueError("another spelling of a cursor")
            return found
        except (ValueError, TypeError, binascii.Error, RecursionError) as error:
            place = fault("query", "cursor", "Send `next` of the previous page unchanged", "bad_cursor")
            raise Refusal(BAD_CURSOR, errors=[place]) from error


def _check_storable(value: object) -> None:
    """Raise ValueError for a value that PostgreSQL cannot compare with a column of any size."""
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise ValueError("a NUL character")
    elif isinstance(value, datetime):
        _in_utc(value)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("beyond 64 bits")
    elif isinstance(value, (tuple, list)):
        for each in value:
            _check_storable(each)


# --- times


def _in_utc(time: datetime) -> datetime:
    """Return the time in UTC. Raise ValueError if it has no offset, or is before year 1 or after year 9999 in UTC."""
    if time.tzinfo is None:
        raise ValueError("the time has no offset")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _is_date_time(text: object) -> object:
    if isinstance(text, str) and not _DATE_TIME.fullmatch(text):
        raise ValueError("must be a date-time with an offset, like 2026-07-01T12:00:00Z; send + as %2B")
    return text


_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
Timestamp = Annotated[datetime, BeforeValidator(_is_date_time), AfterValidator(_in_utc)]
"""A parameter that is an RFC 3339 date-time, in UTC. pydantic's own type also accepts numbers, such as 0.5."""


# --- pages

PageLimit = Annotated[int, Query(ge=1, le=200, description="The most entries in the page")]
PageCursor = Annotated[str | None, Query(max_length=1000, description="`next` of the previous page")]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = None


# --- waiting


class _Wait(Dependency):
    header: ClassVar[Header] = Header(
        "Prefer", f"`wait=N`: answer when the decision is made, or after N seconds (at most {MAX_WAIT:g})"
    )

    async def __call__(self, request: Request) -> float:
        text = state_of(request).header(b"prefer")
        found = _WAIT.search(text) if text else None
        return min(float(found[1]), MAX_WAIT) if found else 0.0


_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)
Wait = Annotated[float, Depends(_Wait())]
"""Seconds from `Prefer: wait=N`, at most 10. 0 if the header is absent or malformed, as RFC 7240 requires."""


# --- bodies that are not one JSON document


class _Accepts(Dependency):
    problems: ClassVar[tuple[Problem, ...]] = (UNSUPPORTED_TYPE, TOO_LARGE, TOO_SLOW)

    def __init__(self, wanted: Sequence[str], limit: int | None, description: str) -> None:
        self._wanted, self._limit = wanted, limit
        self.body = Body(wanted, description)

    async def __call__(self, request: Request) -> None:
        if media_type(state_of(request).header(b"content-type")) not in self._wanted:
            raise unsupported_type(*self._wanted)
        if self._limit is not None:
            limit_body(request, self._limit)


def accepts(*wanted: str, limit: int | None = None, description: str = "") -> Any:
    """Return the dependency of a route that reads its own body: 415 for another content type, 413 beyond the limit.

    `body: Annotated[None, accepts("application/x-ndjson", limit=32 << 20)]`
    """
    return Depends(_Accepts(wanted, limit, description))


def limit_body(request: Request, limit: int) -> None:
    """Accept `limit` bytes instead of `max_body_bytes`. Call it before the body is read."""
    state_of(request).body_limit = limit
