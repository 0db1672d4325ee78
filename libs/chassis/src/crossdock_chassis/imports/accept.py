"""Accept an uploaded file: store its pieces, then queue its import."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.imports import rows
from crossdock_chassis.imports.rows import PIECE, File
from crossdock_chassis.imports.views import NoSuchImport
from crossdock_chassis.jobs.declare import Queued
from crossdock_chassis.jobs.resolve import NotResumable, resume_job
from crossdock_chassis.problems import Problem

MAX_WAITING: Final = 10


class TooManyImports(Exception):
    """The partner has as many imports that wait or run as it may have."""

    problem = Problem(
        429,
        "too-many-imports",
        "Too many imports of this partner wait or run; nothing was stored; send the file again when one has ended",
        headers={"Retry-After": "10"},
    )

    def __init__(self) -> None:
        super().__init__(f"At most {MAX_WAITING} imports of a partner wait or run")
        self.extra: dict[str, object] = {"limit": MAX_WAITING}


class ImportRuns(Exception):
    problem = Problem(
        409, "import-runs", "The import waits or runs; stop it, or send the request again when it has ended"
    )


class Accepted(BaseModel):
    """The import of a file. `created` is false if the same file was sent before and has no outcome yet."""

    id: UUID
    created: bool


@dataclass(frozen=True, slots=True)
class Accept:
    file: File
    client_id: str
    job: Queued


async def receive(database: Database, id: UUID, body: AsyncIterator[bytes]) -> tuple[bytes, int]:
    """Store a file in pieces, each in a unit of its own. Return its SHA-256 and its size."""
    digest, size, number, buffer = hashlib.sha256(), 0, 0, bytearray()
    async for received in body:
        digest.update(received)
        size += len(received)
        buffer += received
        while len(buffer) >= PIECE:
            await _store(database, id, number, bytes(buffer[:PIECE]))
            del buffer[:PIECE]
            number += 1
    if buffer or not size:
        await _store(database, id, number, bytes(buffer))
    return digest.digest(), size


async def _store(database: Database, id: UUID, number: int, piece: bytes) -> None:
    async with database.unit() as unit:
        await rows.add_piece(unit.sql, id, number, piece)


async def discard(database: Database, id: UUID) -> None:
    """Delete the pieces of an upload that did not become an import."""
    async with database.unit() as unit:
        await rows.discard_pieces(unit.sql, id)


async def accept(unit: Unit, command: Accept) -> Accepted:
    """Queue the import of a file. The same file with the same arguments is the same import until that has an outcome.

    Raise TooManyImports.
    """
    file = command.file
    if (same := await rows.same(unit.sql, file)) is not None:
        return Accepted(id=same, created=False)
    if await rows.waiting(unit.sql, file.partner) >= MAX_WAITING:
        raise TooManyImports
    arguments = {"kind": file.kind, "bytes": file.bytes, "dry_run": file.dry_run}
    await command.job.request(unit, arguments, by=command.client_id, id=file.id)
    await rows.add_file(unit.sql, file)
    return Accepted(id=file.id, created=True)


async def close_import(unit: Unit, id: UUID, partner: str) -> None:
    """Keep an import of the partner from going on. Raise NoSuchImport, ImportRuns."""
    if not await rows.lock(unit.sql, id, partner):
        raise NoSuchImport(str(id))
    if not await rows.close(unit.sql, id):
        raise ImportRuns(str(id))


async def resume(unit: Unit, id: UUID, *, by: str) -> None:
    """Let a stopped or failed import go on, if its data is still there. Any other import stays as it is."""
    if await rows.keep(unit.sql, id):
        with suppress(NotResumable):
            await resume_job(unit, id, by=by)
