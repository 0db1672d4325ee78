from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from retention_page import TABLES, rules
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from crossdock_chassis import Service


async def test_migrations_create_the_declared_tables(service: Service) -> None:
    ours = service.metadata.tables

    def differences(connection: Connection) -> list[object]:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, parents: kind != "table" or name in ours,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), service.metadata))

    engine = create_async_engine(make_url(service.settings.postgres).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    assert found == []


async def test_every_table_has_a_stated_retention(service: Service) -> None:
    async with service.database.unit() as unit:
        found = {row["relname"] for row in await unit.sql.fetch(TABLES)}
    assert found - rules().keys() == set(), "add it to docs/retention.md"
