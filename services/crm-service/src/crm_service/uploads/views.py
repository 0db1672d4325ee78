"""What clients see of the undoing of an import."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from crm_service.uploads.undo import UNDONE, Left, job_of
from crossdock_chassis import Database

SHOWN: Final = 100
STATE: Final = "SELECT status FROM job WHERE id = $1"
COUNTS: Final = """
    SELECT outcome, count(DISTINCT customer_id) FROM imported_customers WHERE import_id = $1
    GROUP BY outcome ORDER BY outcome
"""
LEFT: Final = f"""
    SELECT DISTINCT customer_id, outcome FROM imported_customers
    WHERE import_id = $1 AND outcome <> '{UNDONE}' ORDER BY customer_id LIMIT {SHOWN}
"""


class LeftView(BaseModel):
    customer_id: UUID
    reason: str


class UndoView(BaseModel):
    """How far an import is undone."""

    import_id: UUID
    state: Literal["not_asked", "queued", "running", "done", "stopped", "failed"]
    undone: Annotated[int, Field(description="Customers that were removed, or have their former values again")]
    to_do: Annotated[int, Field(description="Customers that were not looked at yet")]
    left: Annotated[
        dict[str, int],
        Field(
            description="How many customers stay as they are, by reason: `changed` since, `merged`, `erased`; of new "
            "ones also `has_orders`, `has_cases`, and `in_use` by a note, terms, a hold, a member or a verified channel"
        ),
    ]
    customers: Annotated[list[LeftView], Field(description=f"The first {SHOWN} of those that stay")]


async def undo_of(database: Database, import_id: UUID) -> UndoView:
    async with database.unit() as unit:
        state = await unit.sql.fetchval(STATE, job_of(import_id))
        counts = {row["outcome"]: row["count"] for row in await unit.sql.fetch(COUNTS, import_id)}
        left = [Left(*row) for row in await unit.sql.fetch(LEFT, import_id)]
    return UndoView(
        import_id=import_id,
        state=state or "not_asked",
        undone=counts.pop(UNDONE, 0),
        to_do=counts.pop(None, 0),
        left=counts,
        customers=[LeftView(**each._asdict()) for each in left],
    )
