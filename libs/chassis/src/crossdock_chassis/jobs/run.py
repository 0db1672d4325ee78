"""The handle that a job works with: units that store its progress, and its sign of life."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import UUID

import asyncpg

from crossdock_chassis.database.errors import OutcomeUnknown
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.jobs import rows
from crossdock_chassis.jobs.rows import Claimed

Why = Literal["lost", "stopped", "handed back"]


class JobInterrupted(Exception):
    """The job must end here: its lease is lost, a person stopped it, or its worker stops. Let the exception pass."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"the job is {why}")
        self.why = why


class JobFailed(Exception):
    """The job cannot succeed and is not retried. The message is shown to operators."""


class JobRun:
    """One run of a job. A handler opens a unit for each chunk and sets its progress inside the unit.

    async def load(run: JobRun) -> dict[str, object]:
        while True:
            async with run.unit() as unit:
                rows = await next_rows(unit, after=run.state.get("row", 0))
                if not rows:
                    return {"loaded": run.done}
                await apply(unit, rows)
                run.done += len(rows)
                run.state = {"row": rows[-1].number}

    The unit's transaction also stores `done`, `total` and `state`, and extends the lease. After a crash another run
    continues with the values that were committed last. A job that neither commits a unit nor calls `beat` for
    two minutes hangs: it loses its lease, and its worker ends.
    """

    def __init__(self, database: Database, claimed: Claimed) -> None:
        self._database, self._claimed = database, claimed
        self.arguments: Mapping[str, Any] = claimed.arguments
        self.requested_by = claimed.requested_by
        self.done, self.total = claimed.done, claimed.total
        self.state: Mapping[str, Any] = claimed.state
        self.failures = claimed.failures
        self.why: Why | None = "stopped" if claimed.stop else None
        self.progressed = time.monotonic()

    @property
    def id(self) -> UUID:
        return self._claimed.id

    def beat(self) -> None:
        """Give a sign of life during long work outside units. Raise JobInterrupted if the job must end."""
        self.progressed = time.monotonic()
        if self.why is not None:
            raise JobInterrupted(self.why)

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of one statement outside units, such as a look for work: a unit would also write progress.

        Raise JobInterrupted.
        """
        self.beat()
        return await self._database.fetch(statement, *values)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """Run one chunk of at most a few seconds, and store the progress with it. Raise JobInterrupted."""
        self.beat()
        before = self.done, self.total, self.state
        try:
            async with self._database.unit() as unit:
                yield unit
                await self._store(unit)
        except BaseException as error:
            self.done, self.total, self.state = before
            if isinstance(error, OutcomeUnknown):
                self.why = self.why or "handed back"  # another run reads the progress that was committed
            raise
        self.failures = 0
        self.progressed = time.monotonic()

    async def _store(self, unit: Unit) -> None:
        if self._claimed.token is None:
            return
        stop = await rows.store(unit.sql, self._claimed, self.done, self.total, self.state)
        if stop is None:
            self.why = "lost"
            raise JobInterrupted("lost")
        if stop:
            self.why = self.why or "stopped"
