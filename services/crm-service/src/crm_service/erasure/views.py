"""What staff see of erasures and holds."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field

from crm_service.erasure import store
from crm_service.erasure.model import Hold, NoSuchErasure, in_force
from crm_service.erasure.stores import left
from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("erasures", UUID)
ONE: Final = "SELECT id, customer_id, reason, who, asked_at, erased, done_at FROM erasures WHERE id = $1"
PAGE: Final = """
    SELECT id, customer_id, reason, who, asked_at, erased, done_at FROM erasures
    WHERE ($1::uuid IS NULL OR id < $1) AND ($2::bool IS NULL OR (done_at IS NOT NULL) = $2)
    ORDER BY id DESC LIMIT $3
"""


class HoldView(BaseModel):
    """`of` is the order, the case, the import that runs, or the hold that staff placed."""

    kind: Literal["order", "case", "import", "legal"]
    of: UUID
    reason: Annotated[
        str, Field(description="The status of the order, the kind of the case or file, or the reason of staff")
    ]
    until: Annotated[datetime, Field(description="It ends by itself then, if not before")]


class Holds(BaseModel):
    holds: list[HoldView]


class ErasureSummary(BaseModel):
    id: UUID
    customer_id: UUID
    state: Literal["pending", "done"]
    reason: str
    who: str
    asked_at: datetime
    done_at: datetime | None
    erased: Annotated[int, Field(description="The rows that were erased or blanked")]


class MissingView(BaseModel):
    store: str
    rows: Annotated[int, Field(description="Rows that still hold personal data")]


class ErasureView(ErasureSummary):
    holds: Annotated[list[HoldView], Field(description="What it waits for")]
    missing: Annotated[list[MissingView], Field(description="What is not erased yet")]


async def get(sql: asyncpg.Connection, id: UUID, now: datetime) -> ErasureView:
    """Return an erasure. Raise NoSuchErasure."""
    row = await sql.fetchrow(ONE, id)
    if row is None:
        raise NoSuchErasure(f"No erasure has the id {id}")
    ids = await store.taken(sql, row["customer_id"], row["reason"]) or [row["customer_id"]]
    held = [] if row["done_at"] else in_force(await store.holds(sql, ids), now)
    missing = [MissingView(store=name, rows=rows) for name, rows in (await left(sql, ids)).items()]
    return ErasureView(**_summary(row).model_dump(), holds=_views(held), missing=missing)


async def page(
    sql: asyncpg.Connection, cursor: str | None, limit: int, state: Literal["pending", "done"] | None
) -> Page[ErasureSummary]:
    done = None if state is None else state == "done"
    rows = await sql.fetch(PAGE, CURSOR.decode(cursor), done, limit + 1)
    items = [_summary(row) for row in rows[:limit]]
    return Page(items=items, next=CURSOR.encode(items[-1].id) if len(rows) > limit else None)


async def holds(sql: asyncpg.Connection, root: UUID, now: datetime) -> Holds:
    """Return what keeps a customer from being erased now."""
    return Holds(holds=_views(in_force(await store.holds(sql, await store.members(sql, root)), now)))


def _summary(row: asyncpg.Record) -> ErasureSummary:
    return ErasureSummary(state="pending" if row["done_at"] is None else "done", **dict(row))


def _views(holds: list[Hold]) -> list[HoldView]:
    return [HoldView(**each._asdict()) for each in holds]
