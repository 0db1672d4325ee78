"""Migrate the schema, forward only. The chassis and the service have separate histories in one database."""

import asyncio
from pathlib import Path
from types import ModuleType

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from crossdock_chassis import migrations as own
from crossdock_chassis.database import commit_order
from crossdock_chassis.database.unit import schema_change

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('crossdock.migrate', 0))"


def migrate(url: str, service: ModuleType) -> None:
    """Upgrade both histories to their newest revisions. Of several processes one upgrades, the others wait."""
    asyncio.run(migrate_async(url, service))


async def migrate_async(url: str, service: ModuleType) -> None:
    async with schema_change(url) as connection:
        await connection.execute(text(LOCK))
        await connection.run_sync(upgrade, own, "crossdock_chassis_version")
        sql = (await connection.get_raw_connection()).driver_connection
        assert sql is not None
        await commit_order.begin(sql)
        await commit_order.settle(sql)
        await connection.run_sync(upgrade, service, "crossdock_version")


def upgrade(connection: Connection, history: ModuleType, version_table: str, to: str = "head") -> None:
    """Upgrade one history to a revision, within the transaction of the connection."""
    assert history.__file__ is not None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "alembic_env"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(Path(history.__file__).parent))
    config.attributes.update(connection=connection, version_table=version_table)
    command.upgrade(config, to)
