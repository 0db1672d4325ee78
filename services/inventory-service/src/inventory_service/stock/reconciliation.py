"""Compare the levels with the sum of the ledger and the reserved stock. Different statements write the three."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

MAX_SHOWN = 1_000

# One statement and so one snapshot: a commit in between cannot appear in one of the three and not in the others.
DIFFERENCES = """
    WITH fold AS (
        SELECT item_id, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved
        FROM movements GROUP BY item_id, location_id
    ), held AS (
        SELECT item_id, location_id, sum(quantity) AS held FROM allocations GROUP BY item_id, location_id
    ), compared AS (
        SELECT item_id, location_id,
               level.on_hand AS level_on_hand, level.reserved AS level_reserved,
               coalesce(fold.on_hand, 0) AS ledger_on_hand, coalesce(fold.reserved, 0) AS ledger_reserved,
               coalesce(held.held, 0) AS held
        FROM levels AS level
        FULL JOIN fold USING (item_id, location_id)
        FULL JOIN held USING (item_id, location_id)
    )
    SELECT item_id, location_id, coalesce(level_on_hand, 0) AS level_on_hand, ledger_on_hand,
           coalesce(level_reserved, 0) AS level_reserved, ledger_reserved, held,
           count(*) OVER () AS total
    FROM compared
    WHERE coalesce(level_on_hand, 0) <> ledger_on_hand OR coalesce(level_reserved, 0) <> ledger_reserved
       OR coalesce(level_reserved, 0) <> held
       OR NOT (0 <= coalesce(level_reserved, 0) AND coalesce(level_reserved, 0) <= coalesce(level_on_hand, 0))
    ORDER BY item_id, location_id LIMIT :most
"""

# Lines whose reserved quantity differs from their allocations, or does not fit the status of their order.
ORDERS = """
    SELECT line.order_id::text AS order_id, line.line_id, line.item_id, reservation.status, line.requested,
           line.reserved, coalesce(held.held, 0)::bigint AS held
    FROM reservation_lines AS line
    LEFT JOIN reservations AS reservation USING (order_id)
    FULL JOIN (SELECT order_id, line_id, sum(quantity) AS held FROM allocations GROUP BY 1, 2) AS held
        USING (order_id, line_id)
    WHERE coalesce(line.reserved, 0) <> coalesce(held.held, 0)
       OR reservation.status IS NULL
       OR (reservation.status = 'open' AND line.reserved <> line.requested)
       OR (reservation.status IN ('released', 'rejected') AND (line.reserved > 0 OR line.waiting > 0))
       OR (reservation.status = 'waiting' AND line.waiting <> line.requested - line.reserved)
    ORDER BY 1, 2 LIMIT :most
"""

COUNTS = """
    SELECT (SELECT count(*) FROM levels) AS levels, (SELECT count(*) FROM movements) AS movements,
           (SELECT count(*) FROM reservations WHERE status IN ('open', 'waiting')) AS reservations, now() AS at
"""


class Difference(BaseModel):
    item_id: str
    location_id: str
    level_on_hand: int
    ledger_on_hand: int
    level_reserved: int
    ledger_reserved: int
    held: int


class OrderDifference(BaseModel):
    """A line whose own numbers differ from its allocations. `status` is null if the order has no reservation."""

    order_id: str | None
    line_id: str | None
    item_id: str | None
    status: str | None
    requested: int | None
    reserved: int | None
    held: int


class Reconciliation(BaseModel):
    """`differences` are levels that differ from the sum of their movements or from the reservations. `orders` are lines
    whose own numbers differ from their allocations. Each list has at most 1000 entries."""

    outcome: Literal["agrees", "differs"]
    at: datetime
    levels: int
    movements: int
    reservations: int
    differences: list[Difference]
    orders: list[OrderDifference]


async def reconcile(session: AsyncSession) -> Reconciliation:
    most = {"most": MAX_SHOWN}
    levels = [
        Difference.model_validate(row, from_attributes=True) for row in await session.execute(text(DIFFERENCES), most)
    ]
    orders = [
        OrderDifference.model_validate(row, from_attributes=True) for row in await session.execute(text(ORDERS), most)
    ]
    counts = (await session.execute(text(COUNTS))).one()
    return Reconciliation(
        outcome="differs" if levels or orders else "agrees",
        at=counts.at,
        levels=counts.levels,
        movements=counts.movements,
        reservations=counts.reservations,
        differences=levels,
        orders=orders,
    )
