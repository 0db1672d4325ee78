"""The log shows why a statement failed, but no value of a row or of a parameter."""

import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from examples import placed
from sqlalchemy import text
from test_inbox import records, take

from crossdock_chassis import JobRun, Service, Unit, find_jobs, on, queued
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.observability import logging as logs
from crossdock_chassis.testing import envelope_of, published
from crossdock_events import Envelope
from crossdock_events.orders import OrderPlaced

MARK = "Ms Mark-7731"
log = logging.getLogger("crossdock.tests")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    logs.configure("tests", "api", "debug")
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


async def check_violation(unit: Unit) -> None:
    await unit.sql.execute("CREATE TEMP TABLE person (name text, CHECK (name = 'x'))")
    await unit.sql.execute("INSERT INTO person VALUES ($1)", MARK)


async def check_violation_with_a_line_break(unit: Unit) -> None:
    await unit.sql.execute("CREATE TEMP TABLE person (name text, CHECK (name = 'x'))")
    await unit.sql.execute("INSERT INTO person VALUES ($1)", f"first\n\n{MARK}")


async def violation_in_the_orm(unit: Unit) -> None:
    await unit.session.execute(text("CREATE TEMP TABLE person (name text UNIQUE)"))
    for _ in range(2):
        await unit.session.execute(text("INSERT INTO person VALUES (:name)"), {"name": MARK})


async def impossible_parameter(unit: Unit) -> None:
    await unit.sql.fetch("SELECT $1::text", f"{MARK}\ud800")


async def naive_time(unit: Unit) -> None:
    await unit.sql.fetch("SELECT $1::int", f"{MARK} {datetime.min}")


async def text_that_is_no_number(unit: Unit) -> None:
    await unit.sql.fetch("SELECT $1::text::int", MARK)


FAILURES = [
    check_violation,
    check_violation_with_a_line_break,
    violation_in_the_orm,
    impossible_parameter,
    naive_time,
    text_that_is_no_number,
]


@pytest.mark.parametrize("fail", FAILURES)
async def test_failed_statement_is_logged_without_its_values(
    service: Service, lines: io.StringIO, fail: Callable[[Unit], Awaitable[None]]
) -> None:
    def wrapped(error: Exception) -> Exception:
        try:
            raise RuntimeError("while storing") from error
        except RuntimeError as raised:
            return raised

    with pytest.raises(Exception) as caught:
        async with service.database.unit() as unit:
            await fail(unit)
    log.error("unhandled", exc_info=caught.value)
    log.error("wrapped", exc_info=wrapped(caught.value))
    log.error("group", exc_info=ExceptionGroup("several", [caught.value]))
    log.warning("%s failed: %s", "a job", caught.value)
    written = lines.getvalue()
    assert MARK not in written and "Mark-7731" not in written
    unhandled, whole, group, short = [parsed(line) for line in written.splitlines()]
    kind = type(caught.value).__name__
    for each in (unhandled, whole, group):
        assert kind in each["exception"] and f"in {fail.__name__}" in each["exception"]
    assert "RuntimeError: while storing" in whole["exception"]
    assert short["event"].startswith("a job failed: ")


def parsed(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


async def test_error_of_a_job_has_no_value(service: Service) -> None:
    async def work(run: JobRun) -> None:
        async with run.unit() as unit:
            await check_violation(unit)

    job = queued("load", work)
    async with service.database.unit() as unit:
        id = await job.request(unit, {}, by="ada")
    await Jobs(service.database, [job]).run_due()
    (found,) = await find_jobs(service.database, id=id)
    assert found.error is not None and "person_name_check" in found.error and MARK not in found.error


@pytest.mark.parametrize("fail", FAILURES)
async def test_dead_letter_has_no_value_of_a_row(service: Service, fail: Callable[[Unit], Awaitable[None]]) -> None:
    """Nor has its copy on the dead-letter topic."""

    async def react(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await fail(unit)

    await take(replace(service, reactions=[on(OrderPlaced, react)]), records(envelope_of(placed("PO-1"))), careful=True)
    async with service.database.unit() as unit:
        (reason,) = [row["reason"] for row in await unit.sql.fetch("SELECT reason FROM dead_letter")]
    assert "Error" in reason and "Mark-7731" not in reason
    assert "Mark-7731" not in str(await published(service))
