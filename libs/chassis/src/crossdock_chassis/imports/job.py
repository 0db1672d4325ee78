"""The job of an import: read the file, try its rows, apply them. It goes on where it was interrupted.

read    parse the file, stage its rows by COPY, find rows with the same key. No error may be left.
try     apply each chunk in a savepoint that is rolled back. No row may be refused. Left out if the verb refuses none.
apply   apply each chunk in a unit of its own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.imports import rows
from crossdock_chassis.imports.kinds import Chunk, Counts, ImportKind, Row, RowsRefused
from crossdock_chassis.imports.parsing import Parse, parsing
from crossdock_chassis.imports.rows import File
from crossdock_chassis.imports.sheet import BATCH, MAX_ERRORS, Batch, RowError
from crossdock_chassis.jobs.run import JobFailed, JobRun

Step = Literal["read", "try", "apply", "done", "refused"]

FULL: Final = 0.5
"""The import waits while the outbox is fuller than this share of its limit, at which the API sheds requests."""
WAIT_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is. The job's row stores it with each chunk.

    `row` is the number of the last row of this step, and `since` the time at which the step began.
    """

    step: Step = "read"
    since: float = 0.0
    row: int = 0
    read_bytes: int = 0
    rows: int = 0
    tried: int = 0
    done: int = 0
    wrong: int = 0
    errors: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    suspected: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        return cls(**state)

    def begin(self, step: Step, now: float) -> "Progress":
        return replace(self, step=step, since=now, row=0)

    def counted(self, counts: Counts, errors: Sequence[RowError], stored: int) -> "Progress":
        return replace(
            self,
            wrong=self.wrong + len({error.row for error in errors}),
            errors=self.errors + stored,
            created=self.created + counts.created,
            changed=self.changed + counts.changed,
            unchanged=self.unchanged + counts.unchanged,
            suspected=self.suspected + counts.suspected,
        )


class Importing:
    """Runs the imports of a service, one at a time in each worker, the oldest first."""

    def __init__(self, database: Database, kinds: Mapping[str, ImportKind]) -> None:
        self._database, self._kinds = database, kinds

    async def run(self, run: JobRun) -> Mapping[str, object]:
        async with self._database.unit() as unit:
            if not await rows.keep(unit.sql, run.id):
                raise JobFailed("the data of the import was deleted; the file must be sent again")
            file = await rows.file(unit.sql, run.id)
        kind = self._kinds[file.kind]
        if not run.state:
            await self._begin(run, "read")
        if (progress := Progress.of(run.state)).step == "read":
            await self._read(run, file, kind)
            tries = kind.refuses or file.dry_run
            step: Step = "refused" if Progress.of(run.state).wrong else "try" if tries else "apply"
            progress = await self._begin(run, step)
        if progress.step == "try":
            await self._chunks(run, file, kind)
            progress = Progress.of(run.state)
            progress = await self._begin(run, "refused" if progress.wrong else "done" if file.dry_run else "apply")
        if progress.step == "apply":
            await self._chunks(run, file, kind)
            progress = await self._begin(run, "done")
        return {"state": progress.step, "rows": progress.rows, "done": progress.done, "wrong": progress.wrong}

    async def _begin(self, run: JobRun, step: Step) -> Progress:
        """Begin a step. Counts of a trial are not those of the rows that are then applied."""
        async with run.unit() as unit:
            progress = Progress.of(run.state).begin(step, unit.now.timestamp())
            if step in ("apply", "refused"):
                progress = replace(progress, created=0, changed=0, unchanged=0, suspected=0)
                run.total = progress.rows
            run.state = asdict(progress)
        return progress

    async def _read(self, run: JobRun, file: File, kind: ImportKind) -> None:
        """Stage the rows of the file. Rows that an earlier run has staged are parsed again, but not staged again."""
        async with parsing(kind, file.arguments, file.bytes) as parse:
            for number in range(file.pieces):
                run.beat()  # a piece may have no rows
                async with self._database.unit() as unit:
                    piece = await rows.piece(unit.sql, file.id, number)
                await self._stage(run, file, parse, piece, number, kind.sheet().key)
                if Progress.of(run.state).errors >= MAX_ERRORS:
                    return

    async def _stage(
        self, run: JobRun, file: File, parse: Parse, piece: bytes, number: int, key: Sequence[str]
    ) -> None:
        async for batch in parse(piece, number == file.pieces - 1):
            run.beat()
            progress = Progress.of(run.state)
            if batch.last <= progress.row:
                continue
            new = Batch(
                [row for row in batch.rows if row.number > progress.row],
                [error for error in batch.errors if error.row > progress.row],
            )
            async with run.unit() as unit:
                repeated = await rows.stage(unit.sql, file.id, new.rows)
                same = [RowError(row, key[-1], f"row {first} has the same {', '.join(key)}") for row, first in repeated]
                errors = sorted([*new.errors, *same], key=lambda error: error.row)
                stored = await rows.add_errors(unit.sql, file.id, progress.errors, errors)
                counted = progress.counted(Counts(), errors, stored)
                wrong = {error.row for error in errors} - {1}
                run.state = asdict(
                    replace(
                        counted,
                        row=batch.last,
                        read_bytes=min(file.bytes, (number + 1) * rows.PIECE),
                        rows=progress.rows + len(wrong | {row.number for row in new.rows}),
                    )
                )

    async def _chunks(self, run: JobRun, file: File, kind: ImportKind) -> None:
        """Try or apply the rows that are left, chunk by chunk. After a failure the next chunk is half as large.

        The next rows are read while a chunk is applied.
        """
        progress = Progress.of(run.state)
        trial = progress.step == "try"
        found = await self._next_rows(file, progress.row, max(1, BATCH >> run.failures))
        while found and (progress.errors < MAX_ERRORS or not trial):
            following = asyncio.create_task(self._next_rows(file, found[-1].number, BATCH))
            try:
                await self._chunk(
                    run, kind, Chunk(file.id, found, file.arguments, file.partner, file.cause), trial=trial
                )
            except BaseException:
                following.cancel()
                await asyncio.wait({following})
                raise
            progress, found = Progress.of(run.state), await following

    async def _next_rows(self, file: File, after: int, most: int) -> list[Row]:
        async with self._database.unit() as unit:
            return await rows.next_rows(unit.sql, file.id, after, most)

    async def _chunk(self, run: JobRun, kind: ImportKind, chunk: Chunk, *, trial: bool) -> None:
        if not trial:
            await self._room(run)
        progress = Progress.of(run.state)
        async with run.unit() as unit:
            counts, errors = await attempt(unit, kind, chunk, trial=trial)
            stored = await rows.add_errors(unit.sql, run.id, progress.errors, errors)
            after = replace(progress.counted(counts, errors, stored), row=chunk.rows[-1].number)
            if trial:
                after = replace(after, tried=progress.tried + len(chunk.rows))
            else:
                after = replace(after, done=after.created + after.changed + after.unchanged)
                run.done = after.done + after.wrong
            run.state = asdict(after)

    async def _room(self, run: JobRun) -> None:
        """Wait until the relay has sent messages. A large import would otherwise fill the outbox, and the API sheds."""
        pressure = self._database.pressure
        while pressure.outbox_depth > pressure.outbox_limit * FULL:
            run.beat()
            await asyncio.sleep(WAIT_SECONDS)


class _Tried(Exception):
    """Ends a savepoint, so that a trial leaves nothing behind."""


async def attempt(unit: Unit, kind: ImportKind, chunk: Chunk, *, trial: bool) -> tuple[Counts, list[RowError]]:
    """Apply the rows that can be applied. Return the counts, and the errors of the rows that were refused.

    A chunk with a refused row is applied again without it.
    """
    errors: list[RowError] = []
    left: Sequence[Row] = chunk.rows
    counts = Counts()
    while left:
        try:
            with suppress(_Tried):
                async with unit.savepoint():
                    counts = await kind.apply(unit, replace(chunk, rows=left))
                    if trial:
                        raise _Tried
            break
        except RowsRefused as refused:
            wrong = {error.row for error in refused.errors}
            errors += refused.errors
            before, left = len(left), [row for row in left if row.number not in wrong]
            if len(left) == before:
                raise
    else:
        counts = Counts()
    return counts, sorted(errors, key=lambda error: error.row)
