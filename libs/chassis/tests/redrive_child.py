"""A worker process that resolves dead letters, to be killed: `redrive_child.py DSN REFERENCE`.

It stops while it handles the order with this reference: the events before it in the chunk are applied, not committed.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace

import toy

from crossdock_chassis import Unit, on
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.server import signals
from crossdock_events import Envelope
from crossdock_events.orders import OrderPlaced


async def main(dsn: str, reference: str) -> None:
    service = toy.build(toy.Settings(postgres=dsn, kafka="127.0.0.1:1", issuer="http://127.0.0.1:1"))

    async def mark(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await unit.sql.execute(toy.MARK, [each.event.reference for each in batch])
        if any(each.event.reference == reference for each in batch):
            print("in the chunk", flush=True)
            await asyncio.Event().wait()

    service = replace(service, reactions=[on(OrderPlaced, mark)], projections=[])
    with signals() as stop:
        await Jobs(service.database, service.jobs).run(stop)
    await service.database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
