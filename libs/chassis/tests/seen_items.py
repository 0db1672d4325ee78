"""A projection of items for tests, and a worker process that builds it, to be killed: `seen_items.py DSN KAFKA NAME`.

The process reports each batch of a rebuild before it commits.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import toy
from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from crossdock_chassis import Projection, Service, Unit, on
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.projections.worker import Projections
from crossdock_chassis.server import signals
from crossdock_events import Envelope
from crossdock_events.items import ItemEvent

KEEP = """
    INSERT INTO seen_items (item_id, status, sequence) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
    ON CONFLICT (item_id) DO UPDATE SET status = excluded.status, sequence = excluded.sequence
"""

CATEGORIES = (
    "UPDATE seen_items SET category = new FROM unnest($1::text[], $2::text[]) AS n (id, new) WHERE item_id = id"
)

Before = Callable[[Unit, Sequence[Envelope[ItemEvent]]], Awaitable[object]]


def seen_items(version: int = 1, before: Before | None = None) -> Projection:
    """Return a projection of the latest status of each item. Version 2 has its category too."""
    columns: list[Column[Any]] = [
        Column("item_id", Text, primary_key=True),
        Column("status", Text, nullable=False),
        Column("sequence", BigInteger, nullable=False, index=True),
    ]
    if version > 1:
        columns.append(Column("category", Text))

    async def see(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
        if before is not None:
            await before(unit, batch)
        last = {each.event.item_id: each for each in batch}
        events = [last[item] for item in sorted(last)]
        items = [each.event.item_id for each in events]
        await unit.sql.execute(KEEP, items, [each.event.status for each in events], [each.sequence for each in events])
        if version > 1:
            await unit.sql.execute(CATEGORIES, items, [each.event.category for each in events])

    tables = MetaData()
    Table("seen_items", tables, *columns, postgresql_with={"fillfactor": "80"})
    return Projection("seen_items", tables, [on(ItemEvent, see)], version)


def jobs(service: Service) -> Jobs:
    return Jobs(service.database, [each.job for each in service.rebuilds()], drain_seconds=4)


def projections(service: Service) -> Projections:
    return Projections(service.database, service.settings.broker, service.name, service.rebuilds())


async def main(dsn: str, kafka: str, name: str) -> None:
    async def report(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
        if not await unit.sql.fetchval(
            "SELECT current_schema() = 'seen_items_g' || generation FROM projection "
            "WHERE name = 'seen_items' AND state = 'current'"
        ):
            print("in a batch", flush=True)
            await asyncio.sleep(0.2)

    settings = toy.Settings(postgres=dsn, kafka=kafka, issuer="http://127.0.0.1:1")
    service = replace(toy.build(settings), name=name, reactions=[], projections=[seen_items(before=report)])
    with signals() as stop:
        await asyncio.gather(jobs(service).run(stop), projections(service).run(stop))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
