"""The statements of imports: pieces of files, staged rows, errors, and the files themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
from asyncpg.pgproto.pgproto import UUID as PgUUID
from pydantic_core import from_json, to_json

from crossdock_chassis.database.text import storable
from crossdock_chassis.imports.kinds import Row
from crossdock_chassis.imports.sheet import BATCH, MAX_ERRORS, ReadRow, RowError
from crossdock_events import Cause

PIECE: Final = 256 << 10
"""Bytes of each piece of a file but the last."""

ADD_PIECE: Final = "INSERT INTO import_piece (import_id, number, content) VALUES ($1, $2, $3)"
GET_PIECE: Final = "SELECT content FROM import_piece WHERE import_id = $1 AND number = $2"
DISCARD_PIECES: Final = "DELETE FROM import_piece WHERE import_id = $1"

# Two uploads of a partner at the same time must find each other.
ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('import of ' || $1, 0))"

SAME: Final = """
    SELECT file.id FROM import_file AS file JOIN job USING (id)
    WHERE file.sha256 = $2 AND file.partner = $1 AND file.kind = $3 AND file.dry_run = $4 AND file.arguments::text = $5
      AND file.data = 'kept' AND job.status <> 'done' AND coalesce(job.state->>'step', '') NOT IN ('done', 'refused')
    ORDER BY file.id DESC LIMIT 1
"""

WAITING: Final = """
    SELECT count(*) FROM import_file AS file JOIN job USING (id)
    WHERE file.data = 'kept' AND file.partner = $1 AND job.status IN ('queued', 'running')
"""

ADD_FILE: Final = """
    INSERT INTO import_file (id, kind, partner, sha256, bytes, arguments, dry_run, correlation_id, traceparent)
    VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9)
"""

GET_FILE: Final = """
    SELECT id, kind, partner, bytes, arguments::text, dry_run, correlation_id, traceparent, sha256
    FROM import_file WHERE id = $1
"""

LOCK: Final = "SELECT FROM import_file WHERE id = $1 AND partner = $2 FOR UPDATE"
RUNS: Final = "SELECT status IN ('queued', 'running') FROM job WHERE id = $1"
CLOSE: Final = "UPDATE import_file SET data = 'dropping' WHERE id = $1 AND data = 'kept'"
KEEP: Final = "SELECT FROM import_file WHERE id = $1 AND data = 'kept' FOR UPDATE"

# A subquery for each row always uses the index, also if the statement was planned while the table was empty. The first
# row with a key is the first entry of the index, so many rows with one key take no longer.
REPEATED: Final = """
    SELECT * FROM (
        SELECT new.number, (
            SELECT old.number FROM import_row AS old WHERE old.import_id = $1 AND old.key = new.key
            ORDER BY old.number LIMIT 1
        ) AS first
        FROM unnest($2::bigint[], $3::uuid[]) AS new (number, key)
    ) AS found WHERE first <> number ORDER BY number
"""

ADD_ERRORS: Final = """
    INSERT INTO import_error (import_id, ordinal, number, field, detail)
    SELECT $1, $2 + ordinality, number, field, detail
    FROM unnest($3::bigint[], $4::text[], $5::text[]) WITH ORDINALITY AS new (number, field, detail, ordinality)
"""

# Sequential scans are off, because PostgreSQL keeps a plan that was made while the table was empty.
BY_INDEX: Final = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
RELAXED: Final = "SET LOCAL synchronous_commit = off"
NEXT_ROWS: Final = f"""
    SELECT number, cells::text AS cells FROM import_row WHERE import_id = $1 AND number > $2
    ORDER BY number LIMIT least($3, {BATCH})
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file that was uploaded whole."""

    id: UUID
    kind: str
    partner: str
    sha256: bytes
    bytes: int
    arguments: Mapping[str, str]
    dry_run: bool
    cause: Cause

    @property
    def pieces(self) -> int:
        """Return the number of pieces: at least one, which may be empty."""
        return max(1, -(-self.bytes // PIECE))


async def add_piece(sql: asyncpg.Connection, id: UUID, number: int, content: bytes) -> None:
    await sql.execute(ADD_PIECE, id, number, content)


async def piece(sql: asyncpg.Connection, id: UUID, number: int) -> bytes:
    found: bytes = await sql.fetchval(GET_PIECE, id, number)
    return found


async def discard_pieces(sql: asyncpg.Connection, id: UUID) -> None:
    await sql.execute(DISCARD_PIECES, id)


async def same(sql: asyncpg.Connection, file: File) -> UUID | None:
    """Return the import of the same bytes with the same arguments that has no outcome. Keep other uploads waiting."""
    await sql.execute(ALONE, file.partner)
    found: UUID | None = await sql.fetchval(
        SAME, file.partner, file.sha256, file.kind, file.dry_run, _json(file.arguments)
    )
    return found


async def waiting(sql: asyncpg.Connection, partner: str) -> int:
    found: int = await sql.fetchval(WAITING, partner)
    return found


async def add_file(sql: asyncpg.Connection, file: File) -> None:
    await sql.execute(
        ADD_FILE,
        file.id,
        file.kind,
        file.partner,
        file.sha256,
        file.bytes,
        _json(file.arguments),
        file.dry_run,
        file.cause.correlation_id,
        file.cause.traceparent,
    )


async def file(sql: asyncpg.Connection, id: UUID) -> File:
    row = await sql.fetchrow(GET_FILE, id)
    cause = Cause(row["correlation_id"], None, row["traceparent"])
    arguments = from_json(row["arguments"])
    return File(id, row["kind"], row["partner"], row["sha256"], row["bytes"], arguments, row["dry_run"], cause)


async def keep(sql: asyncpg.Connection, id: UUID) -> bool:
    """Lock the import. Return whether its data is complete."""
    return await sql.fetchrow(KEEP, id) is not None


async def lock(sql: asyncpg.Connection, id: UUID, partner: str) -> bool:
    """Lock an import, so that it cannot be resumed. Return whether the partner has it."""
    return await sql.fetchrow(LOCK, id, partner) is not None


async def close(sql: asyncpg.Connection, id: UUID) -> bool:
    """Keep a locked import from going on. Return False if it waits or runs."""
    if await sql.fetchval(RUNS, id):
        return False
    await sql.execute(CLOSE, id)
    return True


async def stage(sql: asyncpg.Connection, id: UUID, rows: Sequence[ReadRow]) -> list[tuple[int, int]]:
    """Stage rows. Return the number of each row whose key is there already, with the number of the first such row.

    The commit does not wait for the disk: a crash loses the rows together with the progress, and they are read again.
    """
    await sql.execute(RELAXED)
    staged = [(id, row.number, PgUUID(row.key), row.cells) for row in rows]
    await sql.copy_records_to_table("import_row", records=staged, columns=["import_id", "number", "key", "cells"])
    found = await sql.fetch(REPEATED, id, [number for _, number, *_ in staged], [key for *_, key, _ in staged])
    return [(row["number"], row["first"]) for row in found]


async def next_rows(sql: asyncpg.Connection, id: UUID, after: int, most: int) -> list[Row]:
    """Return the next staged rows, in the order of the file. Use a unit for this alone: it changes how it plans."""
    await sql.execute(BY_INDEX)
    return [Row(row["number"], from_json(row["cells"])) for row in await sql.fetch(NEXT_ROWS, id, after, most)]


async def add_errors(sql: asyncpg.Connection, id: UUID, before: int, errors: Sequence[RowError]) -> int:
    """Store errors behind `before` others, until there are MAX_ERRORS. Return how many were stored."""
    stored = errors[: max(0, MAX_ERRORS - before)]
    if stored:
        numbers, fields, details = zip(*_columns(stored), strict=True)
        await sql.execute(ADD_ERRORS, id, before, numbers, fields, details)
    return len(stored)


def _columns(errors: Sequence[RowError]) -> Iterator[tuple[int, str | None, str]]:
    for error in errors:
        column = None if error.column is None else storable(error.column)
        yield error.row, column, storable(error.detail)


def _json(arguments: Mapping[str, Any]) -> str:
    return to_json(dict(sorted(arguments.items()))).decode()
