"""Jobs: one worker at a time, units that store progress, leases, failures, stop and drain."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest
import toy
from jobs_child import load

from crossdock_chassis import (
    JobFailed,
    JobRun,
    Queued,
    Service,
    StoredJob,
    Unit,
    every,
    every_in_units,
    find_jobs,
    measured,
    queued,
    stop_job,
    wake,
)
from crossdock_chassis.jobs import declare, worker
from crossdock_chassis.jobs.declare import Job
from crossdock_chassis.jobs.worker import Jobs

CHILD = Path(__file__).with_name("jobs_child.py")
LOAD = queued("load", load)


async def request(service: Service, job: Queued = LOAD, **arguments: object) -> UUID:
    async with service.database.unit() as unit:
        return await job.request(unit, arguments or {"rows": 4}, by="ada")


async def show(service: Service, id: UUID) -> StoredJob:
    (found,) = await find_jobs(service.database, id=id)
    return found


async def periodic(service: Service, job: Job) -> StoredJob:
    (found,) = await find_jobs(service.database, kind=job.name)
    return found


async def now_due(service: Service) -> None:
    """Let leases and back-offs end, as if the time had passed."""
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET due_at = now() WHERE status IN ('queued', 'running')")


@asynccontextmanager
async def working(service: Service, *jobs: Job) -> AsyncIterator[Jobs]:
    """Run the jobs as a worker does, and drain them at the end."""
    stopping, part = asyncio.Event(), Jobs(service.database, jobs, drain_seconds=4)
    task = asyncio.create_task(part.run(stopping))
    try:
        yield part
    finally:
        stopping.set()
        await asyncio.wait_for(task, 20)


async def until(service: Service, id: UUID, reached: Callable[[StoredJob], bool]) -> StoredJob:
    async with asyncio.timeout(60):
        while not reached(found := await show(service, id)):
            await asyncio.sleep(0.02)
    return found


def ended(job: StoredJob) -> bool:
    return job.status in ("done", "failed", "stopped")


async def rows(service: Service) -> dict[str, int]:
    return {name: times for name, times in (await toy.marks(service)).items() if name.startswith("row")}


def each_once(count: int) -> dict[str, int]:
    return {f"row {row}": 1 for row in range(count)}


async def test_a_killed_job_goes_on_from_its_last_committed_chunk(service: Service) -> None:
    id = await request(service, rows=5)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), service.database.dsn, "3", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"in the chunk\n"
    process.kill()
    await process.communicate()
    killed = await show(service, id)
    assert (killed.status, killed.done, killed.total) == ("running", 3, 5)
    assert await rows(service) == each_once(3)
    await Jobs(service.database, [LOAD]).run_due()
    assert (await show(service, id)).status == "running", "the lease has not ended yet"
    await now_due(service)
    await Jobs(service.database, [LOAD]).run_due()
    done = await show(service, id)
    assert (done.status, done.done, done.result) == ("done", 5, {"loaded": 5})
    assert (done.error, done.failures) == ("the worker died or lost the lease", 0)
    assert await rows(service) == each_once(5)


async def test_two_workers_never_run_one_job_at_the_same_time(service: Service) -> None:
    at_once: dict[str, int] = {}
    most: dict[str, int] = {}

    async def work(run: JobRun) -> None:
        name = str(run.id)
        at_once[name] = at_once.get(name, 0) + 1
        most[name] = max(most.get(name, 0), at_once[name])
        for _ in range(3):
            async with run.unit() as unit:
                await unit.sql.execute(toy.MARK, [f"row {name}"])
        at_once[name] -= 1

    clock, copy = every_in_units(0.01, work), queued("copy", work)
    ids = [await request(service, copy) for _ in range(6)]
    async with working(service, clock, copy), working(service, clock, copy), working(service, clock, copy):
        for id in ids:
            assert (await until(service, id, ended)).status == "done"
        found = await periodic(service, clock)
        async with asyncio.timeout(20):
            while (await rows(service)).get(f"row {found.id}", 0) < 30:
                await asyncio.sleep(0.02)
    assert set(most.values()) == {1}
    marks = await rows(service)
    assert [marks[f"row {id}"] for id in ids] == [3] * 6
    assert found.every_seconds == 0.01 and found.requested_by is None


async def test_requested_work_is_claimed_without_waiting_for_the_poll(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 3_600.0)
    first = await request(service)
    async with working(service, LOAD):
        await until(service, first, ended)
        assert (await until(service, await request(service), ended)).status == "done"


async def test_woken_job_runs_once_for_each_wake_and_rests_otherwise(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wake comes while the job runs, and the third one in a unit that is rolled back."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 3_600.0)
    monkeypatch.setattr(declare, "REST_SECONDS", 3_600.0)
    runs = 0

    async def wakes(error: Exception | None = None) -> None:
        async with service.database.unit() as unit:
            await wake(unit, "toys")
            if error is not None:
                raise error

    async def serve(run: JobRun) -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            await wakes()

    async def ran(times: int) -> None:
        async with asyncio.timeout(20):
            while runs < times or (await periodic(service, job)).status == "running":
                await asyncio.sleep(0.01)

    job = every_in_units(0.01, serve, woken_by="toys")
    async with working(service, job, LOAD):
        await until(service, await request(service), ended)  # the worker listens
        await ran(1)
        with suppress(ZeroDivisionError):
            await wakes(ZeroDivisionError())
        await until(service, await request(service), ended)
        assert runs == 1
        await wakes()
        await ran(3)
        await until(service, await request(service), ended)
    assert runs == 3


async def test_retry_of_requested_work_does_not_wait_for_the_poll(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 3_600.0)
    attempts = 0

    async def fails_once(run: JobRun) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionRefusedError

    job = queued("fragile", fails_once)
    async with working(service, job):
        done = await until(service, await request(service, job), ended)
    assert (done.status, attempts) == ("done", 2)


async def test_a_chunk_of_a_lost_lease_is_rolled_back(service: Service) -> None:
    """The first worker was suspended: its lease ends while it is inside a chunk."""
    inside, release = asyncio.Event(), asyncio.Event()

    async def slow(run: JobRun) -> None:
        async with run.unit() as unit:
            await unit.sql.execute("INSERT INTO mark VALUES ('row of the first', 1)")
            inside.set()
            await release.wait()
        raise AssertionError("the chunk was committed")

    id = await request(service)
    async with working(service, queued("load", slow)):
        await asyncio.wait_for(inside.wait(), 20)
        await now_due(service)
        await Jobs(service.database, [LOAD]).run_due()
        assert (await show(service, id)).status == "done"
        release.set()
    found = await show(service, id)
    assert (found.status, found.result) == ("done", {"loaded": 4}), "the first worker changed nothing"
    assert await rows(service) == each_once(4)


async def test_a_run_that_lost_its_lease_is_cancelled(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "EXTEND_SECONDS", 0.05)
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def parse(run: JobRun) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    id = await request(service)
    async with working(service, queued("load", parse)):
        await asyncio.wait_for(began.wait(), 20)
        async with service.database.unit() as unit:
            await unit.sql.execute("UPDATE job SET leased_by = 'another' WHERE id = $1", id)
        await asyncio.wait_for(cancelled.wait(), 20)
    assert (await show(service, id)).leased_by == "another"


async def test_a_lease_is_extended_between_units(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "EXTEND_SECONDS", 0.05)
    release = asyncio.Event()

    async def parse(run: JobRun) -> None:
        await release.wait()

    id = await request(service)
    async with working(service, queued("load", parse)):
        first = await until(service, id, lambda job: job.status == "running")
        assert first.leased_until is not None and first.next_run is None and first.leased_by is not None
        before = first.leased_until
        await until(service, id, lambda job: job.leased_until is not None and job.leased_until > before)
        release.set()
        assert (await until(service, id, ended)).status == "done"


async def test_a_hanging_job_shows_and_loses_its_lease(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "EXTEND_SECONDS", 0.02)
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 0.5)

    async def hang(run: JobRun) -> None:
        await asyncio.Event().wait()

    id = await request(service)
    async with working(service, queued("load", hang)) as part:
        await until(service, id, lambda job: job.status == "running")
        async with asyncio.timeout(20):
            while not part.hanging:
                await asyncio.sleep(0.01)
        assert part.hanging == ["load"] and time.monotonic() - part.progressed > 0.5
        left = (await show(service, id)).leased_until
        turned = part._looked + 0.2
        async with asyncio.timeout(20):
            while part._looked < turned:
                await asyncio.sleep(0.01)
        assert (await show(service, id)).leased_until == left, "it is not extended any more"


async def test_a_sign_of_life_keeps_long_work_alive(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 1.0)
    hanging: list[str] = []

    async def parse(run: JobRun) -> None:
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            run.beat()
            hanging.extend(part.hanging)

    id = await request(service)
    async with working(service, queued("load", parse)) as part:
        assert (await until(service, id, ended)).status == "done"
    assert hanging == []


async def test_a_stopped_job_keeps_its_committed_chunks(service: Service) -> None:
    in_second, release = asyncio.Event(), asyncio.Event()

    async def slow(run: JobRun) -> None:
        for row in range(10):
            async with run.unit() as unit:
                await unit.sql.execute(toy.MARK, [f"row {row}"])
                run.done += 1
                if row == 1:
                    in_second.set()
                    await release.wait()

    job = queued("load", slow)
    id, waiting = await request(service), await request(service)
    async with working(service, job):
        await asyncio.wait_for(in_second.wait(), 20)
        async with service.database.unit() as unit:
            assert (await stop_job(unit, id, by="eve")).status == "running"
            assert (await stop_job(unit, waiting, by="eve")).status == "stopped"
        release.set()
        stopped = await until(service, id, ended)
    assert (stopped.status, stopped.done, stopped.stop_requested_by) == ("stopped", 2, "eve")
    assert stopped.finished_at is not None and stopped.error is None
    assert await rows(service) == each_once(2)


async def test_a_stop_of_a_dead_workers_job_stands(service: Service) -> None:
    id = await request(service)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET status = 'running', leased_by = 'dead', due_at = now()")
        await stop_job(unit, id, by="eve")
    await Jobs(service.database, [LOAD]).run_due()
    assert (await show(service, id)).status == "stopped" and await rows(service) == {}


async def test_a_stopping_worker_hands_its_job_back_at_once(service: Service) -> None:
    async def endless(run: JobRun) -> None:
        while True:
            async with run.unit() as unit:
                await unit.sql.execute(toy.MARK, ["endless"])
                run.done += 1

    id = await request(service)
    async with working(service, queued("load", endless)):
        await until(service, id, lambda job: job.done > 3)
    handed_back = await show(service, id)
    assert (handed_back.status, handed_back.failures, handed_back.error) == ("queued", 0, None)
    assert (await toy.marks(service))["endless"] == handed_back.done
    await Jobs(service.database, [LOAD]).run_due()
    assert (await show(service, id)).status == "done"


async def test_jobs_wait_between_attempts_while_the_database_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(unit: Unit) -> None:
        await unit.sql.execute(toy.MARK, ["worked"])

    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.2)
    async with working(service, every(0.01, work)) as part:
        async with asyncio.timeout(20):
            while (await toy.marks(service)).get("worked", 0) < 2:
                await asyncio.sleep(0.02)
        attempts = 0

        async def refuse(names: object) -> None:
            nonlocal attempts
            attempts += 1
            raise ConnectionRefusedError

        monkeypatch.setattr(part, "_claim", refuse)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert 1 <= attempts <= 7, "a loop without a pause takes a whole CPU"
        assert time.monotonic() - part.progressed > 0.5, "a failed attempt is no progress"


async def test_failures_back_off_and_are_kept_after_a_success(service: Service) -> None:
    answers = iter([ValueError("no \0 disk"), ValueError("again"), None])

    async def work(unit: Unit) -> dict[str, object] | None:
        if error := next(answers):
            raise error
        return {"purged": 7}

    job = every(0.5, work)
    waits = []
    for _ in range(2):
        await Jobs(service.database, [job]).run_due()
        failed = await periodic(service, job)
        assert failed.status == "queued" and failed.next_run is not None and failed.failed_at is not None
        waits.append((failed.next_run - failed.failed_at).total_seconds())
        await now_due(service)
    assert waits == pytest.approx([1, 2], abs=0.01) and failed.failures == 2
    await Jobs(service.database, [job]).run_due()
    well = await periodic(service, job)
    assert (well.failures, well.error, well.result) == (0, "ValueError: again", {"purged": 7})
    assert well.seconds is not None and well.started_at is not None and well.failed_at is not None


async def test_work_fails_after_ten_failures_without_progress(service: Service) -> None:
    runs = 0

    async def work(run: JobRun) -> None:
        nonlocal runs
        runs += 1
        if runs <= 12:
            async with run.unit():
                run.done += 1
        raise OSError("disk full")

    id = await request(service)
    for _ in range(23):
        await Jobs(service.database, [queued("load", work)]).run_due()
        await now_due(service)
    found = await show(service, id)
    assert (found.status, found.failures, found.error) == ("failed", 10, "OSError: disk full")
    assert (found.done, runs) == (12, 12 + 9), "each committed unit starts the count again"


async def test_work_that_cannot_succeed_fails_at_once(service: Service) -> None:
    async def work(run: JobRun) -> None:
        raise JobFailed("line 3 is no CSV")

    id = await request(service)
    await Jobs(service.database, [queued("load", work)]).run_due()
    found = await show(service, id)
    assert (found.status, found.failures, found.error) == ("failed", 1, "line 3 is no CSV")


async def test_work_that_ends_its_worker_again_and_again_fails(service: Service) -> None:
    id = await request(service)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET status = 'running', leased_by = 'dead', due_at = now(), failures = 9")
    await Jobs(service.database, [LOAD]).run_due()
    found = await show(service, id)
    assert (found.status, found.error) == ("failed", "no run had an outcome: did each end its worker?")
    assert await rows(service) == {}


async def test_a_measurement_is_made_by_each_worker(service: Service) -> None:
    async def look(unit: Unit) -> None:
        await unit.sql.execute(toy.MARK, ["looked"])

    for _ in range(2):
        await Jobs(service.database, [measured(60, look)]).run_due()
    assert (await toy.marks(service))["looked"] == 2
    assert await find_jobs(service.database) == []


async def test_a_shorter_period_holds_from_the_next_start(service: Service) -> None:
    async def work(unit: Unit) -> None: ...

    await Jobs(service.database, [every(3600, work)]).run_due()
    await Jobs(service.database, [every(1, work)]).run_due()
    found = await periodic(service, every(1, work))
    assert found.next_run is not None and found.started_at is not None
    assert (found.next_run - found.started_at).total_seconds() < 60
    assert found.every_seconds == 1


def test_two_jobs_of_one_name_are_refused(service: Service) -> None:
    with pytest.raises(ValueError, match="the same name"):
        Jobs(service.database, [LOAD, LOAD])
    with pytest.raises(ValueError, match="a kind is"):
        queued("Load it", load)
