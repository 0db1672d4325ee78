"""The twin's inventory service, with only the reservations: `python -m bench.twin.inventory`."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import uvloop
from sqlalchemy import select

from bench.twin import common
from bench.twin.models import Reservation, Stock


async def work() -> None:
    engine, sessions = common.sessions()
    producer = await common.producer()

    async def reserve(event: dict[str, Any]) -> None:
        async with sessions() as database:
            items = sorted({line["item_id"] for line in event["lines"]})
            query = select(Stock).where(Stock.item_id.in_(items)).order_by(Stock.item_id).with_for_update()
            stock = {row.item_id: row for row in await database.scalars(query)}
            for line in event["lines"]:
                row = stock[line["item_id"]]
                if row.on_hand - row.reserved < line["quantity"]:
                    return
                row.reserved += line["quantity"]
                database.add(
                    Reservation(
                        id=uuid4(),
                        order_id=UUID(event["order_id"]),
                        line_id=line["line_id"],
                        item_id=line["item_id"],
                        quantity=line["quantity"],
                        created_at=datetime.now(UTC),
                    )
                )
            await database.commit()
        answer = {"order_id": event["order_id"], "lines": event["lines"]}
        await producer.send_and_wait(common.RESERVED, answer, key=event["order_id"])

    try:
        await common.consume(common.PLACED, "twin-inventory", reserve)
    finally:
        await producer.stop()
        await engine.dispose()


if __name__ == "__main__":
    uvloop.run(work())
