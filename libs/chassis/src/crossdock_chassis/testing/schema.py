"""Compare the declared tables of a service with those that its migrations made."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from crossdock_chassis.service import Service


async def schema_differences(service: Service) -> list[object]:
    """Return what alembic would change in the service's own tables: nothing, if declared and migrated are the same."""
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
    return found
