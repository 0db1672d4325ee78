"""The table of sessions. A row is found by the digest of the cookie's value, and its tokens are sealed for this row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from analytics_service.sign_in.issuer import Person, Tokens
from analytics_service.sign_in.seal import Seal
from crossdock_chassis import Database, JobRun

PER_PERSON: Final = 20
"""Sessions that a person has at the same time. The oldest ones end beyond that."""
CLAIM_SECONDS: Final = 20
"""How long a process may refresh tokens. Longer than an answer of the issuer may take, so that no claim is lost."""
TOUCH_SECONDS: Final = 60
PURGED: Final = 1_000

FIND = """
SELECT id, subject, name, scopes, access, refresh, identity, version, started_at, ends_at,
    EXTRACT(epoch FROM access_expires_at - now())::float8 AS seconds_left,
    used_at < now() - make_interval(secs => $3) AS to_touch
FROM console_session WHERE id = $1 AND ends_at > now() AND used_at > now() - make_interval(secs => $2)
"""
INSERT = """
INSERT INTO console_session
    (id, subject, name, scopes, access, refresh, identity, access_expires_at, started_at, used_at, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8), now(), now(), now() + make_interval(secs => $9))
"""
DROP_OLDEST = """
DELETE FROM console_session WHERE id IN
    (SELECT id FROM console_session WHERE subject = $1 ORDER BY started_at DESC, id OFFSET $2)
"""
TOUCH = "UPDATE console_session SET used_at = now() WHERE id = $1"
CLAIM = """
UPDATE console_session SET refreshing_until = now() + make_interval(secs => $3)
WHERE id = $1 AND version = $2 AND (refreshing_until IS NULL OR refreshing_until <= now()) RETURNING true
"""
RENEW = """
UPDATE console_session SET access = $3, refresh = $4, scopes = $5,
    access_expires_at = now() + make_interval(secs => $6), version = version + 1, refreshing_until = NULL
WHERE id = $1 AND version = $2 RETURNING true
"""
RELEASE = "UPDATE console_session SET refreshing_until = NULL WHERE id = $1 AND version = $2"
DELETE = "DELETE FROM console_session WHERE id = $1 RETURNING refresh, identity"
PURGE = """
DELETE FROM console_session WHERE id IN (
    SELECT id FROM console_session WHERE ends_at <= now() OR used_at <= now() - make_interval(secs => $1) LIMIT $2
) RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Session:
    id: bytes
    person: Person
    scopes: tuple[str, ...]
    access: str
    refresh: str | None
    seconds_left: float
    """How long the access token still works."""
    version: int
    started_at: datetime
    ends_at: datetime


class Sessions:
    def __init__(self, database: Database, seal: Seal, *, idle: int, longest: int) -> None:
        self._database, self._seal = database, seal
        self._idle, self._longest = idle, longest

    async def find(self, id: bytes) -> Session | None:
        """Return the session unless it has ended. Note that it was used. Raise Unreadable after a change of the key."""
        rows = await self._database.fetch(FIND, id, self._idle, min(TOUCH_SECONDS, self._idle / 2))
        if not rows:
            return None
        (row,) = rows
        if row["to_touch"]:
            await self._execute(TOUCH, id)
        return Session(
            id,
            Person(row["subject"], row["name"]),
            tuple(row["scopes"]),
            self._seal.open(row["access"], b"access" + id),
            None if row["refresh"] is None else self._seal.open(row["refresh"], b"refresh" + id),
            row["seconds_left"],
            row["version"],
            row["started_at"],
            row["ends_at"],
        )

    async def start(self, id: bytes, person: Person, tokens: Tokens, scopes: Sequence[str]) -> None:
        """Store a session."""
        assert tokens.identity is not None
        async with self._database.unit() as unit:
            await unit.sql.execute(
                INSERT,
                id,
                person.subject,
                person.name,
                list(scopes),
                *self._sealed(id, tokens),
                self._seal.seal(tokens.identity, b"identity" + id),
                tokens.seconds,
                self._longest,
            )
            await unit.sql.execute(DROP_OLDEST, person.subject, PER_PERSON)

    async def claim(self, session: Session) -> bool:
        """Return whether the caller may refresh this version of the tokens. It has `CLAIM_SECONDS` for that."""
        async with self._database.unit() as unit:
            return await unit.sql.fetchval(CLAIM, session.id, session.version, CLAIM_SECONDS) is True

    async def renew(self, session: Session, tokens: Tokens) -> bool:
        """Store the tokens of a refresh. Return False if the session has ended meanwhile.

        An issuer that sends no new refresh token means the old one.
        """
        access, refresh = self._sealed(session.id, tokens)
        if refresh is None and session.refresh is not None:
            refresh = self._seal.seal(session.refresh, b"refresh" + session.id)
        scopes = session.scopes if tokens.scopes is None else tokens.scopes
        values = session.id, session.version, access, refresh, list(scopes), tokens.seconds
        async with self._database.unit() as unit:
            return await unit.sql.fetchval(RENEW, *values) is True

    async def release(self, session: Session) -> None:
        """Give the claim back, so that the next request tries again."""
        await self._execute(RELEASE, session.id, session.version)

    async def end(self, id: bytes) -> tuple[str | None, str] | None:
        """Delete the session. Return its refresh token and its ID token, None if there is no session."""
        async with self._database.unit() as unit:
            row = await unit.sql.fetchrow(DELETE, id)
        return None if row is None else self._opened(id, row)

    async def purge(self, run: JobRun) -> None:
        """Delete the sessions that have ended."""
        deleted = PURGED
        while deleted == PURGED:
            async with run.unit() as unit:
                deleted = len(await unit.sql.fetch(PURGE, self._idle, PURGED))

    def _opened(self, id: bytes, row: asyncpg.Record) -> tuple[str | None, str]:
        refresh = row["refresh"]
        return (
            None if refresh is None else self._seal.open(refresh, b"refresh" + id),
            self._seal.open(row["identity"], b"identity" + id),
        )

    def _sealed(self, id: bytes, tokens: Tokens) -> tuple[bytes, bytes | None]:
        return (
            self._seal.seal(tokens.access, b"access" + id),
            None if tokens.refresh is None else self._seal.seal(tokens.refresh, b"refresh" + id),
        )

    async def _execute(self, statement: str, *values: object) -> None:
        async with self._database.unit() as unit:
            await unit.sql.execute(statement, *values)
