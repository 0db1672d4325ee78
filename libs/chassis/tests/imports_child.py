"""A kind of import for tests, and a worker process that runs its imports, to be killed: `imports_child.py DSN`.

The process stops when it stages the second chunk: the statements are done, the commit is not.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated
from uuid import UUID

import asyncpg
import toy
from pydantic import Field

from crossdock_chassis import (
    Chunk,
    Column,
    Counts,
    Feature,
    ImportKind,
    Imports,
    RowError,
    RowsRefused,
    Service,
    Unit,
)
from crossdock_chassis.imports import parsing
from crossdock_chassis.imports import rows as staging
from crossdock_chassis.imports.sheet import BATCH, ReadRow, Sheet
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.server import signals

SHEET = Sheet(
    (
        Column("name", Annotated[str, Field(pattern="^[a-z0-9]{1,9}$", description="a-z")], required=True, example="a"),
        Column("times", Annotated[int, Field(ge=0)], example="1"),
    ),
    key=("name",),
)


def sheet() -> Sheet:
    return SHEET


async def apply(unit: Unit, chunk: Chunk) -> Counts:
    """Mark each name. Names that begin with `x` cannot be marked."""
    refused = [RowError(row.number, "name", "begins with x") for row in chunk.rows if row.cells["name"][0] == "x"]
    if refused:
        raise RowsRefused(refused)
    names = [row.cells["name"] for row in chunk.rows]
    await unit.sql.execute(toy.MARK, names)
    return Counts(created=len(names))


MARKS = ImportKind("marks", sheet, apply)


def build(service: Service, kind: ImportKind = MARKS, max_bytes: int = 1 << 24) -> Service:
    imports = Imports(service.database, {kind.name: kind}, max_bytes)
    return replace(service, features=[Feature(provides=[imports], jobs=imports.jobs)])


stage = staging.stage


async def stage_and_hang(sql: asyncpg.Connection, id: UUID, rows: Sequence[ReadRow]) -> list[tuple[int, int]]:
    found = await stage(sql, id, rows)
    if rows[0].number > BATCH:
        print("in the chunk", flush=True)
        await asyncio.Event().wait()
    return found


async def main(dsn: str) -> None:
    parsing.SMALL = 0  # type: ignore[misc]  # a process of its own parses every file
    staging.stage = stage_and_hang
    settings = toy.Settings(postgres=dsn, kafka="127.0.0.1:1", issuer="http://127.0.0.1:1")
    service = build(toy.build(settings))
    with signals() as stop:
        await Jobs(service.database, service.jobs).run(stop)


if __name__ == "__main__":
    import imports_child  # the process that parses finds functions by the name of their module

    asyncio.run(imports_child.main(*sys.argv[1:]))
