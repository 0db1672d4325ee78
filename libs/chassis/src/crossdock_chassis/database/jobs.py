"""Periodic jobs of a service. Each run has its own unit and takes place in one worker at a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from crossdock_chassis.database.unit import Database, Unit, is_transient
from crossdock_chassis.deadlines import foreign_cancellation_is_an_error
from crossdock_chassis.observability import metrics

log = logging.getLogger(__name__)

CLAIM = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 2))"


@dataclass(frozen=True, slots=True)
class Job:
    seconds: float
    do: Callable[[Unit], Awaitable[object]]

    @property
    def name(self) -> str:
        return f"{self.do.__module__}.{self.do.__qualname__}"


def every(seconds: float, do: Callable[[Unit], Awaitable[object]]) -> Job:
    """Return a job that runs every `seconds`, in its own unit and in one worker at a time."""
    return Job(seconds, do)


class Jobs:
    """One task for each job. A failure is logged and the job runs again at its next time; other jobs continue."""

    def __init__(self, database: Database, jobs: "list[Job]") -> None:
        self._database, self._jobs = database, jobs
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._repeat(job, stopping))

    async def _repeat(self, job: Job, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                with foreign_cancellation_is_an_error():
                    await self.once(job)
            except Exception as error:
                if is_transient(error):
                    log.warning("%s: %s: %s", job.name, type(error).__name__, error)
                else:
                    log.exception("%s failed", job.name)
            self.progressed = time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), job.seconds)

    async def once(self, job: Job) -> None:
        began, claimed = time.perf_counter(), False
        try:
            async with self._database.unit() as unit:
                if claimed := await unit.sql.fetchval(CLAIM, job.name):
                    await job.do(unit)
                    unit.count(job.name, 1)
        except Exception as error:
            self._database.count(job.name, 1, error)
            raise
        finally:
            if claimed:
                metrics.verb_seconds(job.name, "job").observe(time.perf_counter() - began)
