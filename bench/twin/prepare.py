"""Create the tables, stock and topics of the twin."""

import asyncio

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import create_async_engine

from bench import goods
from bench.twin import common
from bench.twin.models import Inventory, Orders, Stock
from crossdock_cli.topics import Topics
from crossdock_events import TopicSpec


def prepare(bootstrap: str, orders: str, inventory: str, assortment: goods.Assortment) -> None:
    Topics(bootstrap_servers=bootstrap).ensure([TopicSpec(topic, common.PARTITIONS) for topic in common.TOPICS])
    asyncio.run(_tables(orders, inventory, assortment))


async def _tables(orders: str, inventory: str, assortment: goods.Assortment) -> None:
    for dsn, base in ((orders, Orders), (inventory, Inventory)):
        engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.create_all)
            if base is Inventory:
                rows = [{"item_id": each.id, "on_hand": goods.STOCK, "reserved": 0} for each in assortment.items]
                await connection.execute(insert(Stock).on_conflict_do_nothing(), rows)
        await engine.dispose()
