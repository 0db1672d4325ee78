"""A database that stops answering for a while: callers get a 503, connections stay clean, background tasks live on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import httpx
import pytest
import toy
from sqlalchemy import text

from crossdock_chassis import Database, Service, Unit
from crossdock_chassis.database import unit as unit_module
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.testing import OPS, Clients


@pytest.fixture
async def one(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """The service with one connection and short deadlines."""
    monkeypatch.setattr(unit_module, "POOL_SECONDS", 0.3)
    monkeypatch.setattr(unit_module, "STATEMENT_SECONDS", 0.5)
    monkeypatch.setattr(unit_module, "ROLLBACK_SECONDS", 0.3)
    database = Database(service.settings.postgres, source="toy-service", pool_size=1)
    yield replace(service, database=database)
    await database.close()


async def backend(database: Database) -> int:
    async with database.unit() as unit:
        return int(await unit.sql.fetchval("SELECT pg_backend_pid()"))


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a server process, as SIGSTOP of the whole server does for the connection of this process."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def writes(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(toy.MARK, ["written"])


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[None]:
    async with database.reading() as session:
        await session.execute(text("SELECT 1"))
        yield


@asynccontextmanager
async def changing(database: Database) -> AsyncIterator[None]:
    async with database.unit():
        yield


@asynccontextmanager
async def trying(database: Database) -> AsyncIterator[None]:
    async with database.trial():
        yield


@pytest.mark.parametrize("opened", [reading, changing, trying])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_block_that_could_not_begin_leaves_no_transaction(one: Service, opened: type, cancelled: bool) -> None:
    pid = await backend(one.database)
    with frozen(pid):
        if cancelled:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1), opened(one.database):
                    raise AssertionError("it began")
        else:
            with pytest.raises(Exception) as failure:
                async with opened(one.database):
                    raise AssertionError("it began")
            assert is_transient(failure.value), failure
    await writes(one)
    assert await toy.marks(one) == {"written": 1}
    assert await backend(one.database) != pid, "the connection is dropped"


async def test_cancelled_twice_the_connection_is_dropped(one: Service) -> None:
    """The second cancellation meets the rollback after the first one."""
    pid = await backend(one.database)

    async def change() -> None:
        async with one.database.unit() as unit:
            os.kill(pid, signal.SIGSTOP)
            await unit.sql.execute("SELECT 1")

    changing = asyncio.create_task(change())
    await asyncio.sleep(0.1)
    changing.cancel()
    await asyncio.sleep(0.05)
    changing.cancel()
    await asyncio.wait([changing], timeout=10)
    os.kill(pid, signal.SIGCONT)
    assert changing.cancelled()
    await writes(one)
    assert await backend(one.database) != pid


async def test_read_only_block_ends_its_transaction(one: Service) -> None:
    pid = await backend(one.database)
    for _ in range(2):
        async with reading(one.database):
            pass
        with pytest.raises(ZeroDivisionError):
            async with reading(one.database):
                raise ZeroDivisionError
    await writes(one)
    assert await backend(one.database) == pid, "a clean connection is kept"


async def test_exhausted_pool_answers_503_with_retry_after(one: Service, clients: Clients) -> None:
    client = clients(one, None, OPS, subject="ops")
    async with one.database.unit():
        refused = await client.get("/v1/dead-letters")
        assert refused.status_code == 503, refused.text
        assert "retry-after" in refused.headers
        with pytest.raises(TimeoutError, match="was free") as failure:
            await writes(one)
        assert is_transient(failure.value), "a consumer, the relay and a job retry after it"
    assert (await client.get("/v1/dead-letters")).status_code == 200


async def test_forty_readers_of_a_frozen_server_all_get_503(one: Service, clients: Clients) -> None:
    client = clients(one, None, OPS, subject="ops")
    pid = await backend(one.database)
    with frozen(pid):
        answers: list[httpx.Response] = await asyncio.gather(*(client.get("/v1/dead-letters") for _ in range(40)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert any(answer.status_code == 503 for answer in answers)
    await writes(one)


async def test_transaction_that_a_handler_left_open_is_not_pooled(one: Service) -> None:
    async def careless(unit: Unit) -> None:
        await unit.sql.execute("COMMIT")
        await unit.sql.execute("BEGIN READ ONLY")

    async with one.database.trial() as unit:
        await careless(unit)
    await writes(one)
