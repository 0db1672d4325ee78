"""What clients see of a customer's orders."""

import json
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.orders.look import ordered_as

MOST: Final = 100

OF_CUSTOMER: Final = f"""
    SELECT orders.order_id AS id, orders.partner, reference, status, orders.since, placed_at, currency, total, reason,
           coalesce(jsonb_array_length(lines), 0) AS lines, waiting::text
    FROM customer_orders AS orders JOIN ({ordered_as("root = $1")}) AS known USING (partner, external_id)
    WHERE placed_at >= known.since AND ($2::text IS NULL OR orders.partner = $2)
    ORDER BY placed_at DESC, order_id DESC LIMIT $3
"""


class MissingView(BaseModel):
    item_id: str
    missing: Annotated[int, Field(description="In base units of the item")]


class CustomerOrderView(BaseModel):
    """An order after its events. `since` is when it reached its status."""

    id: UUID
    partner: str
    reference: str
    status: str
    since: datetime
    placed_at: datetime
    currency: str | None
    total: str | None
    lines: Annotated[int, Field(description="The number of its lines")]
    reason: Annotated[str | None, Field(description="Why it was rejected or cancelled")]
    waits_for: Annotated[list[MissingView], Field(description="The items that it lacks, while it is backordered")]


async def of_customer(sql: asyncpg.Connection, customer_id: UUID, partner: str | None) -> list[CustomerOrderView]:
    """Return the newest orders of a customer, at most 100: those of the partner, or all without one."""
    rows = await sql.fetch(OF_CUSTOMER, customer_id, partner, MOST)
    return [_view(dict(row)) for row in rows]


def _view(row: dict[str, object]) -> CustomerOrderView:
    waiting = json.loads(str(row.pop("waiting") or "[]"))
    missing = [MissingView(item_id=item, missing=count) for item, count in waiting]
    return CustomerOrderView.model_validate({**row, "waits_for": missing})
