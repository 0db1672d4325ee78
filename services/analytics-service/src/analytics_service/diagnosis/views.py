"""Read the facts of a diagnosis from the log and its projections."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from analytics_service.diagnosis.facts import Line, Order, Sent
from analytics_service.log.keep import BY_INDEX
from analytics_service.orders.follow import STATUS
from crossdock_chassis import Database

RECORDS: Final = 200
"""The newest records of an order that are read. They show its last changes."""
LINES: Final = 20

NEWEST: Final = """
    SELECT event_id, type, sequence, kafka_time, topic, partition, "offset" FROM log
    WHERE order_id = $1 AND NOT repeat ORDER BY position DESC LIMIT $2
"""
ORDER: Final = "SELECT status, sequence, since, placed_at, reason FROM orders_now WHERE order_id = $1"
LACKING: Final = """
    SELECT line_id, item_id, requested, reserved, backordered, count(*) OVER () AS lines FROM waiting_lines
    WHERE order_id = $1 ORDER BY backordered DESC, line_id LIMIT $2
"""


async def records(database: Database, order_id: UUID) -> list[Sent]:
    """Return the newest events of an order, the newest first. Copies in the topics of dead letters are left out."""
    async with database.unit() as unit:
        await unit.sql.execute(BY_INDEX)
        rows = await unit.sql.fetch(NEWEST, order_id, RECORDS)
    return [
        Sent(
            id=row["event_id"],
            type=row["type"],
            sequence=row["sequence"],
            at=row["kafka_time"],
            topic=row["topic"],
            partition=row["partition"],
            offset=row["offset"],
        )
        for row in rows
        if row["type"] is not None and row["sequence"] is not None and not row["topic"].endswith(".dlq")
    ]


async def order(database: Database, order_id: UUID, known: Sequence[Sent]) -> Order | None:
    """Return an order as its events left it, None if there are none."""
    async with database.unit() as unit:
        row = await unit.sql.fetchrow(ORDER, order_id)
        lines = [] if row is None else await unit.sql.fetch(LACKING, order_id, LINES)
    if row is None:
        return _from_records(order_id, known)
    return Order(
        id=order_id,
        status=row["status"],
        version=row["sequence"],
        placed_at=row["placed_at"],
        since=row["since"],
        reason=row["reason"],
        lines=[
            Line(each["line_id"], each["item_id"], each["requested"], each["reserved"], each["backordered"])
            for each in lines
        ],
        lines_left_out=lines[0]["lines"] - len(lines) if lines else 0,
        from_events=True,
    )


def _from_records(order_id: UUID, known: Sequence[Sent]) -> Order | None:
    """Return an order that the projection has not read yet."""
    statuses = {"crossdock.OrderPlaced.v1": "placed", **STATUS}
    own = [each for each in known if each.type in statuses]
    if not own:
        return None
    return Order(
        id=order_id,
        status=statuses[own[0].type],  # type: ignore[arg-type]  # the values are those of the literal
        version=own[0].sequence,
        placed_at=own[-1].at,
        since=own[0].at,
        from_events=True,
    )
