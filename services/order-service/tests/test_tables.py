"""The schema as declared is the schema as migrated, and an order's updates stay on its page."""

from shop import Shop

from crossdock_chassis.testing import schema_differences
from order_service.tables import Base, OrderRow


async def test_migrations_create_the_declared_tables(shop: Shop) -> None:
    assert await schema_differences(shop.service) == []
    async with shop.service.database.unit() as unit:
        options = dict(await unit.sql.fetch("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
        checks = await unit.sql.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = 'orders_status'")
    for name, table in Base.metadata.tables.items():
        declared_options = table.dialect_options["postgresql"]["with"] or {}
        assert (options.get(name) or []) == [f"{key}={value}" for key, value in declared_options.items()], name
    assert checks == 1


CHANGING = {"status", "version", "reservation_sequence", "decided_at", "waiting", "history"}


async def test_order_updates_touch_no_index(shop: Shop) -> None:
    indexes = Base.metadata.tables[OrderRow.__tablename__].indexes
    indexed = {column.name for index in indexes for column in index.columns}
    assert not indexed & CHANGING
    order_ids = [await shop.placed(items=["SKU-1", "SKU-2", "SKU-3"]) for _ in range(40)]
    await shop.hears(*(shop.reserved(order_id) for order_id in order_ids))
    async with shop.service.database.optimistic() as unit:  # on the connection that has updated the orders
        await unit.sql.execute("SELECT pg_stat_force_next_flush()")
    async with shop.service.database.unit() as unit:
        row = await unit.sql.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'orders'"
        )
    assert row["n_tup_upd"] == row["n_tup_hot_upd"] == 40
