"""The database through a real PgBouncer in transaction mode."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import toy
from examples import placed
from on_kafka import all_published, eventually, from_now_on, publish, relay, running
from pgbouncer import pooling
from sqlalchemy import select

from crossdock_chassis import Database, Service, hear
from crossdock_chassis.database.errors import Moved

CLIENTS = 8


def _through(service: Service, dsn: str) -> Service:
    direct = service.settings.postgres
    settings = toy.Settings(**service.settings.model_dump() | {"postgres": dsn, "postgres_direct": direct})
    return replace(toy.build(settings), name=service.name, projections=())


@pytest.fixture
async def pooled(service: Service) -> AsyncIterator[Database]:
    with pooling(service.settings.postgres) as dsn:
        database = _through(service, dsn).database
        yield database
        await database.close()


async def test_clients_that_share_connections_do_not_mix_statements(pooled: Database) -> None:
    """Eight clients share two connections. Statements, the ORM, savepoints and single statements take turns."""

    async def one(number: int) -> None:
        for turn in range(10):
            name = f"{number}-{turn}"
            async with pooled.unit() as unit:
                await unit.sql.execute(toy.MARK, [name])
                async with unit.savepoint():
                    assert await unit.sql.fetchval("SELECT $1::text || $2::text", name, "!") == f"{name}!"
                found = await unit.session.scalar(select(toy.MarkRow).where(toy.MarkRow.name == name))
                assert found is not None and found.times == 1
            assert [row[0] for row in await pooled.fetch("SELECT times FROM mark WHERE name = $1", name)] == [1]
            async with pooled.reading() as session:
                assert await session.scalar(select(toy.MarkRow.times).where(toy.MarkRow.name == name)) == 1

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))


async def test_time_limit_is_that_of_the_transaction(pooled: Database, service: Service) -> None:
    settings = "SELECT current_setting('transaction_timeout'), current_setting('jit')"
    async with pooled.unit() as unit:
        assert tuple(await unit.sql.fetchrow(settings)) == ("15s", "off")
    ((limit, jit),) = await pooled.fetch(settings)
    assert (limit, jit) == ("15s", "off")
    async with service.database.unit() as unit:
        assert tuple(await unit.sql.fetchrow(settings)) == ("15s", "off"), "as without a pooler"


async def test_optimistic_unit_is_refused_so_an_ordinary_one_works(pooled: Database) -> None:
    with pytest.raises(Moved):
        async with pooled.optimistic():
            pass


async def test_notifications_pass_by_the_pooler(pooled: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(hear(pooled, "pooler_test", "test", heard.put_nowait))
    try:
        assert await asyncio.wait_for(heard.get(), 10) == ""
        await pooled.fetch("SELECT pg_notify('pooler_test', 'news')")
        assert await asyncio.wait_for(heard.get(), 10) == "news"
    finally:
        listening.cancel()


async def test_relay_and_consumer_work_behind_a_pooler(kafka_service: Service) -> None:
    with pooling(kafka_service.settings.postgres) as dsn:
        service = _through(kafka_service, dsn)
        consumer = await from_now_on(service)
        await publish(service, *((placed(f"pooled-{number}"), 1) for number in range(20)))
        async with running(relay(service), consumer):

            async def marked() -> bool:
                found = await toy.marks(service)
                return sum(name.startswith("pooled-") for name in found) == 20 and await all_published(service)

            await eventually(marked)
        await service.database.close()
