"""Idempotency keys of commands. The handler's transaction claims them, like the inbox claims events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import asyncpg
from pydantic import BaseModel

from crossdock_chassis.checks import Check
from crossdock_chassis.content import Content, differs
from crossdock_chassis.database.unit import Unit
from crossdock_chassis.problems import Problem

R = TypeVar("R", bound=BaseModel)

KEPT_HOURS: Final = 72


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request with a key, which belongs to one partner and one route. `route` is method and path template."""

    partner: str
    route: str
    key: str
    fingerprint: bytes  # of path and content
    content: Content

    @property
    def scope(self) -> tuple[str, str, str]:
        return self.partner, self.route, self.key


class KeyReused(Exception):
    """The key was used for a request with another path or body.

    `place` is None if only the path differs, and empty if the first body is not known any more.
    """

    problem = Problem(
        422,
        "idempotency-key-reused",
        "The Idempotency-Key belongs to a request with another path or body; use a new key",
    )

    def __init__(self, key: str, place: str | None) -> None:
        other = "path" if place is None else f"value at {place}" if place else "path or body"
        super().__init__(f"The first request with the key {key} has another {other}")
        self.errors = () if place is None else (differs(place),)


class InFlight(Exception):
    """Another request with the same key is in progress."""

    problem = Problem(
        409,
        "request-in-flight",
        "A request with the same Idempotency-Key is in progress; wait Retry-After seconds, then retry",
        headers={"Retry-After": "1"},
    )


CLAIM: Final = """
    INSERT INTO idempotency_key (partner, route, key, fingerprint, document)
    SELECT partner, route, key, fingerprint, document
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[])
         AS new (partner, route, key, fingerprint, document)
    ORDER BY partner, route, key
    ON CONFLICT DO NOTHING
    RETURNING partner, route, key
"""

# The document is read only if the fingerprint differs, because a repeated import or receipt can be long.
RECALL: Final = """
    SELECT partner, route, key, fingerprint, answer::text AS answer,
           CASE WHEN fingerprint <> asked THEN document END AS other, document IS NULL AS forgotten
    FROM idempotency_key
    JOIN unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS wanted (partner, route, key, asked)
    USING (partner, route, key)
"""

# An upsert, because it always uses the index. PostgreSQL keeps the plan of an UPDATE, even if it was made while the
# table was empty. Such a plan read the whole table for every batch: 2 ms an order at 200 orders a second.
REMEMBER: Final = """
    INSERT INTO idempotency_key (partner, route, key, fingerprint, answer)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::json[])
    ON CONFLICT (partner, route, key) DO UPDATE SET answer = excluded.answer
"""

FORGET: Final = """
    DELETE FROM idempotency_key USING unnest($1::text[], $2::text[], $3::text[]) AS gone (partner, route, key)
    WHERE (idempotency_key.partner, idempotency_key.route, idempotency_key.key) = (gone.partner, gone.route, gone.key)
"""


UNANSWERED_KEY: Final = Check(
    1,
    "other",
    "idempotency keys without an answer",
    "SELECT format('%s of %s for %s', key, partner, route) FROM idempotency_key WHERE answer IS NULL ORDER BY 1",
)


async def claim(
    sql: asyncpg.Connection, requests: Sequence[IdempotentRequest | None], result: type[R]
) -> list[R | Exception | None]:
    """Claim keys. Return for each request None if this unit must handle it, else the first answer or the conflict.

    If several requests in one batch have the same key, the first is handled; the coalescer answers the others.
    Raise LockNotAvailableError if another unit holds one of several keys, InFlight if it holds the only key.
    """
    answers: list[R | Exception | None] = [None for _ in requests]
    firsts: dict[tuple[str, str, str], IdempotentRequest] = {}
    for request in requests:
        if request is not None:
            firsts.setdefault(request.scope, request)
    if not firsts:
        return answers
    partners, routes, keys = (list(column) for column in zip(*firsts, strict=True))
    fingerprints = [first.fingerprint for first in firsts.values()]
    try:
        rows = await sql.fetch(
            CLAIM, partners, routes, keys, fingerprints, [first.content.document for first in firsts.values()]
        )
    except asyncpg.LockNotAvailableError:
        if len(firsts) > 1:
            raise
        raise InFlight from None
    claimed = {(row["partner"], row["route"], row["key"]) for row in rows}
    earlier = {}
    if len(claimed) < len(firsts):
        rows = await sql.fetch(RECALL, partners, routes, keys, fingerprints)
        earlier = {(row["partner"], row["route"], row["key"]): row for row in rows}
    for position, request in enumerate(requests):
        if request is None:
            continue
        first = firsts[request.scope]
        if request.scope in claimed:
            if request.fingerprint != first.fingerprint:
                answers[position] = _reused(request, first.content.document)
            continue
        row = earlier.get(request.scope)
        if row is None or row["answer"] is None:
            answers[position] = InFlight(request.key)
        elif row["fingerprint"] != request.fingerprint:
            before = None if row["forgotten"] else row["other"] or first.content.document
            answers[position] = _reused(request, before)
        else:
            answers[position] = result.model_validate_json(row["answer"])
    return answers


def _reused(request: IdempotentRequest, before: bytes | None) -> KeyReused:
    """Return the conflict. `before` is None if the service has forgotten the first body."""
    return KeyReused(request.key, "" if before is None else request.content.difference(before))


def answer(unit: Unit, done: Sequence[tuple[IdempotentRequest, R]]) -> None:
    """Claim keys with their answers at the end of an optimistic unit, which raises Moved if one was used before."""
    partners, routes, keys = (list(column) for column in zip(*(request.scope for request, _ in done), strict=True))
    unit.call(
        "idempotency_answer",
        partners,
        routes,
        keys,
        [request.fingerprint for request, _ in done],
        [request.content.document for request, _ in done],
        [answer.__pydantic_serializer__.to_json(answer).decode() for _, answer in done],
    )


async def remember(sql: asyncpg.Connection, done: Sequence[tuple[IdempotentRequest, R | Exception]]) -> None:
    """Store the answers with their keys. Release the keys of refusals, so that a corrected request can use them."""
    answered = [(request, answer) for request, answer in done if not isinstance(answer, Exception)]
    refused = [request.scope for request, answer in done if isinstance(answer, Exception)]
    if answered:
        partners, routes, keys = (list(column) for column in zip(*(r.scope for r, _ in answered), strict=True))
        texts = [answer.__pydantic_serializer__.to_json(answer).decode() for _, answer in answered]
        fingerprints = [request.fingerprint for request, _ in answered]
        await sql.execute(REMEMBER, partners, routes, keys, fingerprints, texts)
    if refused:
        partners, routes, keys = (list(column) for column in zip(*refused, strict=True))
        await sql.execute(FORGET, partners, routes, keys)
