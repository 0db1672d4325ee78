import asyncio

import asyncpg
import pytest
import toy
from examples import placed
from sqlalchemy import select

from crossdock_chassis import Database, OutcomeUnknown, Service, Unit, each, wake
from crossdock_chassis.database.errors import NotCommitted, is_connection_loss
from crossdock_chassis.database.outbox import MessageTooLarge
from crossdock_chassis.testing import published


async def write_both_ways(unit: Unit) -> None:
    unit.session.add(toy.MarkRow(name="orm", times=1))
    await unit.session.flush()
    await unit.sql.execute("INSERT INTO mark VALUES ('sql', 1)")
    unit.publish(placed(), sequence=1, cause=None)


async def test_orm_and_sql_are_one_transaction(service: Service) -> None:
    """The first test of all: a flush, raw SQL and an event leave nothing when the unit fails, all when it ends."""
    with pytest.raises(ZeroDivisionError):
        async with service.database.unit() as unit:
            await write_both_ways(unit)
            raise ZeroDivisionError
    assert await toy.marks(service) == {} and await published(service) == []

    async with service.database.unit() as unit:
        await write_both_ways(unit)
        assert {row.name for row in await unit.session.scalars(select(toy.MarkRow))} == {"orm", "sql"}
    assert await toy.marks(service) == {"orm": 1, "sql": 1} and len(await published(service)) == 1


async def test_cancelled_unit_writes_nothing_and_frees_its_connection(service: Service) -> None:
    began = asyncio.Event()

    async def hang() -> None:
        async with service.database.unit() as unit:
            await write_both_ways(unit)
            began.set()
            await asyncio.Event().wait()

    for _ in range(service.settings.pool_size + 1):
        task = asyncio.create_task(hang())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        began.clear()
    assert await toy.marks(service) == {}


async def test_failed_or_cancelled_statement_frees_its_connection(service: Service) -> None:
    """A single statement, outside a unit. One that fails leaves its connection usable."""
    (first,) = await service.database.fetch("SELECT pg_backend_pid()")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await service.database.fetch("SELECT 1 / $1::int", 0)
    assert await service.database.fetch("SELECT pg_backend_pid()") == [first]
    for _ in range(service.settings.pool_size + 1):
        task = asyncio.create_task(service.database.fetch("SELECT pg_sleep(60)"))
        async with asyncio.timeout(20):
            while not await service.database.fetch(SLEEPS):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


SLEEPS = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"


@pytest.mark.parametrize("publishes", [True, False])
async def test_the_lock_timeout_is_for_statements_not_for_the_commit(service: Service, publishes: bool) -> None:
    """Commits that notify wait for one another; on a slow disk longer than any statement may wait."""
    other = await asyncpg.connect(service.settings.postgres)
    try:
        async with service.database.unit() as unit:
            await unit.sql.execute(
                """
                CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END';
                CREATE CONSTRAINT TRIGGER waits_at_commit AFTER INSERT ON mark
                    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
                """
            )
        await other.execute("SELECT pg_advisory_lock(7)")

        async def write() -> None:
            async with service.database.unit(lock_timeout=0.05) as unit:
                if publishes:
                    await write_both_ways(unit)
                else:
                    await unit.sql.execute("INSERT INTO mark VALUES ('orm', 1), ('sql', 1)")
                    await wake(unit, "toys")

        writing = asyncio.create_task(write())
        done, _ = await asyncio.wait([writing], timeout=0.5)
        assert not done
        await other.execute("SELECT pg_advisory_unlock(7)")
        await writing
    finally:
        await other.close()
    assert await toy.marks(service) == {"orm": 1, "sql": 1}


async def test_a_savepoint_takes_back_rows_objects_and_events(service: Service) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("INSERT INTO mark VALUES ('kept', 1)")
        with pytest.raises(ZeroDivisionError):
            async with unit.savepoint():
                await write_both_ways(unit)
                raise ZeroDivisionError
        with pytest.raises(asyncpg.UniqueViolationError):
            async with unit.savepoint():
                await unit.sql.execute("INSERT INTO mark VALUES ('kept', 2)")
        unit.publish(placed("after"), sequence=1, cause=None)
    assert await toy.marks(service) == {"kept": 1}
    assert len(await published(service)) == 1


async def test_a_swallowed_error_is_never_taken_for_a_commit(service: Service) -> None:
    with pytest.raises(NotCommitted):
        async with service.database.unit() as unit:
            await unit.sql.execute("INSERT INTO mark VALUES ('lost', 1)")
            with pytest.raises(asyncpg.UndefinedTableError):
                await unit.sql.execute("SELECT FROM nowhere")
    assert await toy.marks(service) == {}


async def test_connection_lost_before_commit_writes_nothing(service: Service) -> None:
    for _ in range(service.settings.pool_size + 1):
        with pytest.raises(Exception) as failure:
            async with service.database.unit() as unit:
                await write_both_ways(unit)
                await kill(service.database, await unit.sql.fetchval("SELECT pg_backend_pid()"))
                await unit.sql.fetch("SELECT 1")
        assert is_connection_loss(failure.value)
    assert await toy.marks(service) == {}


async def test_connection_lost_during_commit_raises_outcome_unknown(service: Service) -> None:
    """A deferred trigger holds COMMIT open long enough for the server to be cut off in the middle of it."""
    async with service.database.unit() as unit:
        await unit.sql.execute(
            """
            CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON mark DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION hold();
            """
        )
    holder = await asyncpg.connect(service.database.dsn)
    await holder.execute("SELECT pg_advisory_lock(4711)")
    victim = asyncio.get_running_loop().create_future()

    async def commit() -> None:
        async with service.database.unit() as unit:
            victim.set_result(await unit.sql.fetchval("SELECT pg_backend_pid()"))
            await unit.sql.execute("INSERT INTO mark VALUES ('who knows', 1)")

    task = asyncio.create_task(commit())
    pid = await victim
    async with asyncio.timeout(10):
        while not await holder.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", pid):
            await asyncio.sleep(0.01)
    await kill(service.database, pid)
    with pytest.raises(OutcomeUnknown):
        await task
    await holder.close()


async def test_an_event_that_kafka_would_refuse_is_refused_here(service: Service) -> None:
    large = placed().model_copy(update={"lines": placed().lines * 12_000})
    with pytest.raises(MessageTooLarge):
        async with service.database.unit() as unit:
            unit.publish(large, sequence=1, cause=None)
    assert await published(service) == []


async def test_reading_cannot_write(service: Service) -> None:
    async with service.database.reading() as session:
        session.add(toy.MarkRow(name="no", times=1))
        with pytest.raises(Exception, match="read-only"):
            await session.flush()
        session.expunge_all()


async def test_each_lifts_a_function_of_one(service: Service) -> None:
    async def double(unit: Unit, n: int) -> int:
        return 2 * n

    async with service.database.unit() as unit:
        assert await each(double)(unit, [1, 2]) == [2, 4]


async def kill(database: Database, pid: int) -> None:
    connection = await asyncpg.connect(database.dsn)
    await connection.execute("SELECT pg_terminate_backend($1)", pid)
    await connection.close()
