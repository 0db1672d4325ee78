"""Delete the data of imports that no longer need it, in small units."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from crossdock_chassis.imports.rows import BY_INDEX
from crossdock_chassis.jobs.run import JobRun

CHUNK: Final = 5_000
PIECES: Final = 40
"""Of at most 256 KiB each."""

RESUMABLE: Final = timedelta(hours=72)
"""A stopped or failed import goes on if its file is sent again within this time."""
ABANDONED: Final = timedelta(minutes=10)
"""The pieces of an upload that did not end, because its api process died. A body may take five minutes."""

ENDED: Final = """
    UPDATE import_file SET data = 'dropping' FROM job
    WHERE import_file.data = 'kept' AND job.id = import_file.id
      AND (job.status = 'done' OR job.status IN ('stopped', 'failed') AND job.finished_at < $1)
"""
DROPPING: Final = "SELECT id FROM import_file WHERE data = 'dropping' ORDER BY id"
DROP_ROWS: Final = f"""
    DELETE FROM import_row WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM import_row WHERE import_id = $1 ORDER BY number LIMIT {CHUNK}
    ))
"""
DROP_PIECES: Final = f"""
    DELETE FROM import_piece WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM import_piece WHERE import_id = $1 ORDER BY number LIMIT {PIECES}
    ))
"""
ABANDONED_PIECES: Final = f"""
    DELETE FROM import_piece WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM import_piece AS piece
        WHERE received_at < $1 AND NOT EXISTS (SELECT FROM import_file WHERE import_file.id = piece.import_id)
        LIMIT {PIECES}
    ))
"""
GONE: Final = "UPDATE import_file SET data = 'gone' WHERE id = $1"
NOTHING: Final = "DELETE 0"


async def run_sweep(run: JobRun) -> Mapping[str, object]:
    """Delete files and staged rows of imports that have ended, and the pieces of uploads that never ended."""
    async with run.unit() as unit:
        await unit.sql.execute(ENDED, unit.now - RESUMABLE)
        dropping = [row["id"] for row in await unit.sql.fetch(DROPPING)]
    for id in dropping:
        for statement in (DROP_ROWS, DROP_PIECES):
            await _repeat(run, statement, id)
        async with run.unit() as unit:
            await unit.sql.execute(GONE, id)
    async with run.unit() as unit:
        before = unit.now - ABANDONED
    await _repeat(run, ABANDONED_PIECES, before)
    return {"imports": len(dropping)}


async def _repeat(run: JobRun, statement: str, argument: object) -> None:
    outcome = ""
    while outcome != NOTHING:
        async with run.unit() as unit:
            await unit.sql.execute(BY_INDEX)
            outcome = await unit.sql.execute(statement, argument)
