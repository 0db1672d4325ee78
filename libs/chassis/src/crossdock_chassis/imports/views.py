"""What clients see of an import: its state, its progress and its errors."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crossdock_chassis.database.unit import Database
from crossdock_chassis.imports.job import Progress
from crossdock_chassis.problems import Problem

State = Literal["queued", "checking", "applying", "done", "refused", "stopped", "failed"]
ENDED: Final = ("done", "refused", "stopped", "failed")
SHOWN: Final = 100

FIND: Final = """
    SELECT file.id, file.kind, file.bytes, file.sha256, file.arguments::text, file.dry_run,
           job.status, job.state::text AS progress, job.error, job.requested_by, job.requested_at, job.started_at,
           job.finished_at, now() AS now
    FROM import_file AS file JOIN job USING (id)
    WHERE file.partner = $1
"""
FIND_ERRORS: Final = """
    SELECT ordinal, number, field, detail FROM import_error WHERE import_id = $1 AND ordinal > $2
    ORDER BY ordinal LIMIT $3
"""


class NoSuchImport(Exception):
    problem = Problem(404, "no-such-import", "No such import")


class RowErrorView(BaseModel):
    """`row` counts as a spreadsheet does: the header is row 1. `column` is null for an error of the whole row."""

    row: int
    column: str | None
    detail: str


class Import(BaseModel):
    """An uploaded file and how far it is. A file with an error in its check is refused, and changes nothing."""

    id: UUID
    kind: str
    state: State = Field(
        description="`stopped` and `failed`: chunks that were applied stay. Send the same file again within 72 hours, "
        "and the import goes on"
    )
    dry_run: bool
    arguments: dict[str, str]
    bytes: int
    sha256: str
    rows: int = Field(description="Rows of the file that were read so far, without the header and blank rows")
    checked: int = Field(description="Rows that were tried so far. A trial finds what the database refuses")
    done: int = Field(description="Rows that were applied so far: `created` + `changed` + `unchanged`, 0 in a dry run")
    wrong: int = Field(description="Rows with errors, the header included. Checking ends after 10,000 errors")
    created: int = Field(description="Rows that created something, or would in a dry run")
    changed: int
    unchanged: int
    suspected: int = Field(description="Rows that may name something that is known under another key")
    detail: str | None = Field(description="Set after a failed attempt")
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds_left: float | None = Field(description="An estimate from the speed so far; null if it is not known")


class ImportResult(Import):
    """An import with its first hundred errors. `/errors` has all of them, up to 10,000."""

    errors: list[RowErrorView] = []


async def find_imports(
    database: Database, partner: str, *, kind: str | None = None, before: UUID | None = None, limit: int
) -> list[Import]:
    """Return the imports of a partner, the newest first."""
    conditions, arguments = [FIND], list[object]([partner])
    for condition, value in (("file.kind =", kind), ("file.id <", before)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    async with database.unit() as unit:
        found = await unit.sql.fetch(
            f"{' AND '.join(conditions)} ORDER BY file.partner, file.id DESC LIMIT {limit:d}", *arguments
        )
    return [Import(**_values(row)) for row in found]


async def find_import(database: Database, partner: str, id: UUID) -> ImportResult:
    """Return one import with its first errors. Raise NoSuchImport."""
    async with database.unit() as unit:
        row = await unit.sql.fetchrow(f"{FIND} AND file.id = $2", partner, id)
        if row is None:
            raise NoSuchImport(str(id))
        errors = await unit.sql.fetch(FIND_ERRORS, id, 0, SHOWN)
    return ImportResult(**_values(row), errors=[error for _, error in _shown(errors)])


async def find_errors(
    database: Database, partner: str, id: UUID, *, after: int, limit: int
) -> list[tuple[int, RowErrorView]]:
    """Return errors in the order of their rows, each with its number in this list. Raise NoSuchImport."""
    async with database.unit() as unit:
        if await unit.sql.fetchrow("SELECT FROM import_file WHERE partner = $1 AND id = $2", partner, id) is None:
            raise NoSuchImport(str(id))
        return _shown(await unit.sql.fetch(FIND_ERRORS, id, after, limit))


def _shown(errors: Sequence[asyncpg.Record]) -> list[tuple[int, RowErrorView]]:
    return [
        (each["ordinal"], RowErrorView(row=each["number"], column=each["field"], detail=each["detail"]))
        for each in errors
    ]


def _values(row: asyncpg.Record) -> Mapping[str, Any]:
    progress = Progress.of(from_json(row["progress"]))
    state = _state(row["status"], progress, started=row["started_at"] is not None)
    return {
        "id": row["id"],
        "kind": row["kind"],
        "state": state,
        "dry_run": row["dry_run"],
        "arguments": from_json(row["arguments"]),
        "bytes": row["bytes"],
        "sha256": row["sha256"].hex(),
        "rows": progress.rows,
        "checked": progress.tried,
        "done": progress.done,
        "wrong": progress.wrong,
        "created": progress.created,
        "changed": progress.changed,
        "unchanged": progress.unchanged,
        "suspected": progress.suspected,
        "detail": _detail(state, row["error"]),
        "requested_by": row["requested_by"],
        "created_at": row["requested_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "seconds_left": None if state in ENDED else _left(progress, row["now"].timestamp(), dry_run=row["dry_run"]),
    }


def _state(status: str, progress: Progress, *, started: bool) -> State:
    if progress.step == "done" or progress.step == "refused":
        return progress.step
    if status == "stopped" or status == "failed":
        return "stopped" if status == "stopped" else "failed"
    if progress.step == "apply":
        return "applying"
    return "checking" if started else "queued"


def _detail(state: State, error: str | None) -> str | None:
    """Describe a failure. Operators see its cause in `/v1/jobs`."""
    if state == "failed":
        return "The service failed. Report the id of the import, or send the file again to go on"
    return "The last attempt failed, and the next one goes on" if error and state not in ENDED else None


def _left(progress: Progress, now: float, *, dry_run: bool) -> float | None:
    """Estimate the seconds that are left. Applying is assumed to take as long as trying."""
    elapsed = now - progress.since
    if progress.step == "try" and progress.tried:
        per_row = elapsed / progress.tried
        return per_row * (progress.rows - progress.tried + (0 if dry_run else progress.rows))
    if progress.step == "apply" and (applied := progress.done + progress.wrong):
        return elapsed / applied * (progress.rows - applied)
    return None
