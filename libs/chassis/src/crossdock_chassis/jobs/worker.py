"""The part of a worker that runs jobs: it claims jobs that are due, extends their leases and records their outcomes."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.listening import hear
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import Database
from crossdock_chassis.deadlines import PROGRESS_SECONDS, abandon, foreign_cancellation_is_an_error
from crossdock_chassis.ids import new_id
from crossdock_chassis.jobs import rows
from crossdock_chassis.jobs.declare import Job, Measured, Periodic, Queued, Result
from crossdock_chassis.jobs.rows import Claimed, Outcome
from crossdock_chassis.jobs.run import JobFailed, JobInterrupted, JobRun
from crossdock_chassis.observability import metrics
from crossdock_chassis.observability.logging import message_of

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
"""Requested work is notified, and a worker knows when its own jobs are due. The poll finds what other workers left."""
RETRY_SECONDS: Final = 1.0
EXTEND_SECONDS: Final = 5.0
LONGEST_RETRY_SECONDS: Final = 60.0
MAX_FAILURES: Final = 10
"""Failures without a committed unit between them, after which a queued job has failed: about five minutes."""
ERROR_LIMIT: Final = 500


class Jobs:
    """Runs jobs concurrently, one of each kind at a time."""

    def __init__(self, database: Database, jobs: Sequence[Job], *, drain_seconds: float = 10.0) -> None:
        self._database, self._drain_seconds = database, drain_seconds
        self._jobs = {job.name: job for job in jobs}
        if len(self._jobs) < len(jobs):
            raise ValueError("two jobs have the same name")
        self._declared = False
        self._woken: set[str] = set()  # since their last claim
        self._rested: dict[str, float] = {}  # when a woken job may run again
        self._due: dict[str, float] = {job.name: 0.0 for job in jobs if not isinstance(job, Queued)}
        self._running: dict[asyncio.Task[None], tuple[Claimed, JobRun]] = {}
        self._poll_next = self._extend_next = 0.0
        self._wake = asyncio.Event()
        self._looked = time.monotonic()

    @property
    def progressed(self) -> float:
        return min([self._looked, *(run.progressed for _, run in self._running.values())])

    @property
    def hanging(self) -> Sequence[str]:
        """Return the names of running jobs that give no sign of life."""
        return [claimed.kind for claimed, run in self._running.values() if _hangs(run)]

    async def run(self, stopping: asyncio.Event) -> None:
        """Run jobs until `stopping`. Then give jobs that go on to another worker at the end of their unit."""
        stop, listening = asyncio.create_task(stopping.wait()), asyncio.create_task(self._listen())
        woken = asyncio.create_task(self._wake.wait())
        try:
            while not stopping.is_set():
                try:
                    with foreign_cancellation_is_an_error():
                        await self._turn()
                    self._looked = time.monotonic()
                except Exception as error:
                    if not is_transient(error):
                        raise
                    log.warning("jobs: %s: %s", type(error).__name__, error)
                    self._poll_next = 0.0
                    await asyncio.wait([stop], timeout=RETRY_SECONDS)
                    continue
                extend = self._extend_next if self._running else float("inf")
                pause = max(0.0, min(self._poll_next, self._next_due(), extend) - time.monotonic())
                waited: list[asyncio.Task[Any]] = [stop, woken, *self._running]
                await asyncio.wait(waited, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if woken.done():
                    self._wake.clear()
                    woken = asyncio.create_task(self._wake.wait())
            await self._drain()
        finally:
            for task in (stop, woken, listening, *self._running):
                abandon(task)

    async def _listen(self) -> None:
        """Wake the loop when work is requested. While the connection is lost, the poll finds the work."""
        if all(isinstance(job, Measured) for job in self._jobs.values()):
            return
        while True:
            try:
                await hear(self._database, rows.CHANNEL, "jobs", self._notified)
            except Exception as error:  # the poll also finds the work
                log.warning("jobs listen again: %s: %s", type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)

    def _notified(self, name: str) -> None:
        """Wake the jobs woken by `name`. Without a name, work was requested: poll for it."""
        if not name:
            self._poll_next = 0.0
        for job in self._jobs.values():
            if name and isinstance(job, Periodic) and job.woken_by == name:
                self._woken.add(job.name)
                self._due[job.name] = self._rested.get(job.name, 0.0)
        self._wake.set()

    async def run_due(self) -> None:
        """Run the jobs that are due until none is, for tests and scripts."""
        while True:
            self._poll_next = 0.0
            await self._turn()
            if not self._running:
                return
            await asyncio.wait(self._running)

    def _next_due(self) -> float:
        busy = {claimed.kind for claimed, _ in self._running.values()}
        return min((at for name, at in self._due.items() if name not in busy), default=float("inf"))

    async def _turn(self) -> None:
        """Collect the runs that ended, extend the leases, and start the jobs that are due."""
        self._collect()
        now = time.monotonic()
        if now >= self._extend_next:
            self._extend_next = now + EXTEND_SECONDS
            await self._extend()
        if now < min(self._poll_next, self._next_due()):
            return
        self._poll_next = now + POLL_SECONDS
        busy = {claimed.kind for claimed, _ in self._running.values()}
        free = [job for name, job in self._jobs.items() if name not in busy]
        for job in free:
            if isinstance(job, Measured) and self._due[job.name] <= now:
                self._start(job, Claimed(new_id(), None, job.name, {}))
        shared = [job.name for job in free if not isinstance(job, Measured)]
        if shared:
            await self._claim(shared)

    async def _claim(self, names: Sequence[str]) -> None:
        began = time.monotonic()
        if not self._declared:
            jobs = self._jobs.values()
            await rows.declare(self._database, {job.name: job.seconds for job in jobs if isinstance(job, Periodic)})
            self._declared = True
        woken = [name for name in names if name in self._woken and self._rested.get(name, 0.0) <= began]
        self._woken.difference_update(woken)
        # The next poll looks again for a job that was due and that another worker claims.
        self._due = {name: at for name, at in self._due.items() if name not in names or at > began}
        claimed = await rows.claim(self._database, names, woken)
        for each in claimed:
            self._start(self._jobs[each.kind], each)

    async def _extend(self) -> None:
        """Extend the leases of runs that give signs of life. Interrupt runs that lost theirs or are to stop."""
        held = {
            task: (claimed, run)
            for task, (claimed, run) in self._running.items()
            if claimed.token is not None and not _hangs(run)
        }
        if not held:
            return
        found = await rows.extend(self._database, [claimed for claimed, _ in held.values()])
        for task, (claimed, run) in held.items():
            if claimed.id not in found:
                run.why = "lost"
                task.cancel()
            elif found[claimed.id]:
                run.why = run.why or "stopped"

    def _start(self, job: Job, claimed: Claimed) -> None:
        run = JobRun(self._database, claimed)
        self._running[asyncio.create_task(self._run(job, claimed, run))] = claimed, run

    async def _run(self, job: Job, claimed: Claimed, run: JobRun) -> None:
        began = time.perf_counter()
        try:
            with foreign_cancellation_is_an_error():
                if isinstance(job, Queued) and run.failures >= MAX_FAILURES:
                    raise JobFailed("no run had an outcome: did each end its worker?")
                run.beat()
                outcome = _done(job, await job.do(run))
            self._database.count(job.name, 1)
        except JobInterrupted:
            outcome = _interrupted(run)
        except asyncio.CancelledError:
            if run.why is None:
                raise
            outcome = _interrupted(run)
        except Exception as error:
            self._database.count(job.name, 1, error)
            outcome = _failed(job, run, error)
        seconds = time.perf_counter() - began
        metrics.verb_seconds(job.name, "job").observe(seconds)
        if claimed.token is not None:
            await self._record(claimed, outcome, seconds)
        if outcome.status == "queued":
            ended = time.monotonic()
            if isinstance(job, Periodic):
                self._rested[job.name] = ended + job.seconds
            self._due[job.name] = self._rested[job.name] if job.name in self._woken else ended + outcome.delay
        if isinstance(job, Queued):
            self._poll_next = 0.0  # another job of its kind may wait

    async def _record(self, claimed: Claimed, outcome: Outcome, seconds: float) -> None:
        try:
            await rows.record(self._database, claimed, outcome, seconds)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("the outcome of %s is not recorded; it runs again when its lease ends: %s", claimed.kind, error)

    async def _drain(self) -> None:
        for _, run in self._running.values():
            run.why = run.why or "handed back"
        if self._running:
            await asyncio.wait(self._running, timeout=self._drain_seconds / 2)
        if late := [task for task in self._running if not task.done()]:
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=self._drain_seconds / 4)
        self._collect()

    def _collect(self) -> None:
        for task in [task for task in self._running if task.done()]:
            del self._running[task]
            if not task.cancelled():
                task.result()


def _hangs(run: JobRun) -> bool:
    return time.monotonic() - run.progressed > PROGRESS_SECONDS


def _done(job: Job, result: Result) -> Outcome:
    if isinstance(job, Queued):
        return Outcome("done", result=result)
    return Outcome("queued", job.pause if isinstance(job, Periodic) else job.seconds, result=result)


def _interrupted(run: JobRun) -> Outcome:
    return Outcome("stopped" if run.why == "stopped" else "queued", failures=run.failures)


def _failed(job: Job, run: JobRun, error: Exception) -> Outcome:
    """Return the outcome of a failure: a later run after a back-off, or the end of a queued job."""
    failures = run.failures + 1
    if isinstance(error, JobFailed):
        log.warning("%s failed: %s", job.name, error)
        text = str(error)
    elif is_transient(error):
        log.warning("%s: %s: %s", job.name, type(error).__name__, error)
        text = f"{type(error).__name__}: {message_of(error)}"
    else:
        log.error("%s failed", job.name, exc_info=error)
        text = f"{type(error).__name__}: {message_of(error)}"
    text = storable(text)[:ERROR_LIMIT]
    if isinstance(job, Queued) and (isinstance(error, JobFailed) or failures >= MAX_FAILURES):
        return Outcome("failed", failures=failures, error=text)
    delay = min(2.0 ** (failures - 1), LONGEST_RETRY_SECONDS)
    return Outcome("queued", delay if isinstance(job, Queued) else max(delay, job.seconds), failures, text)
