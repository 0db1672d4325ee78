"""Compare levels with the ledger and the reservations, page by page. Different statements write the three.

A job folds the ledger into `ledger_sums`, so that a page reads only later movements. The time of a page does not
grow with the age of the installation, but with the number of orders that hold the items of the page.
"""

from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Cursor, Page, Unit

LEVELS: Cursor[str] = Cursor("reconciliation", str)
ORDERS: Cursor[UUID] = Cursor("reconciliation-orders", UUID)
FOLD_AT_ONCE: Final = 100_000
SETTLED_SECONDS: Final = 30
"""No transaction lasts half as long. So every movement with a smaller id than a movement of this age has committed."""

LOCK_MARK = "SELECT folded_to FROM ledger_mark FOR UPDATE"

NEXT_MARK = """
    SELECT max(id) FROM (SELECT id, at FROM movements WHERE id > $1 ORDER BY id LIMIT $2) AS next
    WHERE at < now() - make_interval(secs => $3)
"""

FOLD = """
    INSERT INTO ledger_sums AS sums (item_id, location_id, on_hand, reserved)
    SELECT item_id, location_id, sum(on_hand), sum(reserved) FROM movements
    WHERE id > $1 AND id <= $2 GROUP BY item_id, location_id ORDER BY item_id, location_id
    ON CONFLICT (item_id, location_id)
        DO UPDATE SET on_hand = sums.on_hand + excluded.on_hand, reserved = sums.reserved + excluded.reserved
"""

MARK = "UPDATE ledger_mark SET folded_to = $1"

# One statement and so one snapshot: a commit in between cannot appear in one of the three and not in the others.
DIFFERENCES = """
    WITH item AS MATERIALIZED (
        SELECT item_id FROM stock_heads WHERE item_id > coalesce(CAST(:after AS text), '')
        ORDER BY item_id LIMIT :limit
    ), moved AS (
        SELECT item_id, location_id, sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM (
            SELECT item_id, location_id, on_hand, reserved FROM item JOIN ledger_sums USING (item_id)
            UNION ALL
            SELECT item_id, location_id, on_hand, reserved FROM item JOIN movements USING (item_id)
            WHERE id > (SELECT folded_to FROM ledger_mark)
        ) AS part GROUP BY item_id, location_id
    ), held AS (
        SELECT item_id, location_id, sum(quantity) AS held FROM item JOIN allocations USING (item_id)
        GROUP BY item_id, location_id
    ), compared AS (
        SELECT item_id, location_id,
               coalesce(level.on_hand, 0) AS level_on_hand, coalesce(level.reserved, 0) AS level_reserved,
               coalesce(moved.on_hand, 0) AS ledger_on_hand, coalesce(moved.reserved, 0) AS ledger_reserved,
               coalesce(held.held, 0) AS held
        FROM (SELECT levels.* FROM item JOIN levels USING (item_id)) AS level
        FULL JOIN moved USING (item_id, location_id)
        FULL JOIN held USING (item_id, location_id)
    )
    SELECT item.item_id AS page_item, compared.* FROM item LEFT JOIN compared
        ON compared.item_id = item.item_id AND (
            level_on_hand <> ledger_on_hand OR level_reserved <> ledger_reserved OR level_reserved <> held
            OR NOT (0 <= level_reserved AND level_reserved <= level_on_hand)
        )
    ORDER BY page_item, location_id
"""

# Lines whose reserved quantity differs from their allocations, or does not fit the status of their order.
ORDER_DIFFERENCES = """
    WITH page AS MATERIALIZED (
        SELECT order_id, status FROM reservations
        WHERE order_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
        ORDER BY order_id LIMIT :limit
    ), held AS (
        SELECT order_id, line_id, sum(quantity) AS held FROM page JOIN allocations USING (order_id) GROUP BY 1, 2
    ), compared AS (
        SELECT order_id, line_id, item_id, status, requested, reserved, coalesce(held.held, 0)::bigint AS held
        FROM (SELECT page.status, line.* FROM page JOIN reservation_lines AS line USING (order_id)) AS line
        FULL JOIN held USING (order_id, line_id)
        WHERE coalesce(line.reserved, 0) <> coalesce(held.held, 0)
           OR (status = 'open' AND reserved <> requested)
           OR (status IN ('released', 'rejected') AND (reserved > 0 OR waiting > 0))
           OR (status = 'waiting' AND waiting <> requested - reserved)
    )
    SELECT page.order_id AS page_order, compared.* FROM page LEFT JOIN compared ON compared.order_id = page.order_id
    ORDER BY page_order, line_id
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
    """A line whose own numbers differ from its allocations. It is null if only the allocations exist."""

    order_id: UUID
    line_id: str
    item_id: str | None
    status: str | None
    requested: int | None
    reserved: int | None
    held: int


class Compared(Page[Difference]):
    """`items` are the differences of the items on this page, of which there are `compared`."""

    outcome: Literal["agrees", "differs"]
    compared: int
    at: datetime


class ComparedOrders(Page[OrderDifference]):
    """`items` are the lines that differ, of the orders on this page, of which there are `compared`."""

    outcome: Literal["agrees", "differs"]
    compared: int
    at: datetime


async def fold_ledger(unit: Unit) -> None:
    """Add the next movements to `ledger_sums`: those that no transaction can still precede."""
    folded_to = await unit.sql.fetchval(LOCK_MARK)
    next_mark = await unit.sql.fetchval(NEXT_MARK, folded_to, FOLD_AT_ONCE, SETTLED_SECONDS)
    if next_mark is not None:
        await unit.sql.execute(FOLD, folded_to, next_mark)
        await unit.sql.execute(MARK, next_mark)


async def reconcile(session: AsyncSession, after: str | None, limit: int) -> Compared:
    """Compare the levels of a page of items with their movements and with the stock that orders hold."""
    values = {"after": after, "limit": limit}
    rows = (await session.execute(text(DIFFERENCES), values)).all()
    items = list(dict.fromkeys(row.page_item for row in rows))
    found = [Difference.model_validate(row, from_attributes=True) for row in rows if row.item_id is not None]
    return Compared(
        items=found,
        next=LEVELS.encode(items[-1]) if len(items) == limit else None,
        outcome="differs" if found else "agrees",
        compared=len(items),
        at=datetime.now(UTC),
    )


async def reconcile_orders(session: AsyncSession, after: UUID | None, limit: int) -> ComparedOrders:
    """Compare the lines of a page of orders with their allocations and with the status of their order."""
    values = {"after": after, "limit": limit}
    rows = (await session.execute(text(ORDER_DIFFERENCES), values)).all()
    orders = list(dict.fromkeys(row.page_order for row in rows))
    found = [OrderDifference.model_validate(row, from_attributes=True) for row in rows if row.line_id is not None]
    return ComparedOrders(
        items=found,
        next=ORDERS.encode(orders[-1]) if len(orders) == limit else None,
        outcome="differs" if found else "agrees",
        compared=len(orders),
        at=datetime.now(UTC),
    )
