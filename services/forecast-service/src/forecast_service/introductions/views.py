"""What planners see of introductions."""

from datetime import date, datetime
from typing import Annotated, Any, Final

import asyncpg
from pydantic import BaseModel, Field

from crossdock_chassis import Cursor, Page
from forecast_service.introductions.model import NoSuchIntroduction

INTRODUCTIONS: Final[Cursor[str]] = Cursor("introductions", str)

ONE: Final = "SELECT * FROM introductions WHERE item_id = $1"
PAGE: Final = "SELECT * FROM introductions WHERE $1::text IS NULL OR item_id > $1 ORDER BY item_id LIMIT $2"


class LikeView(BaseModel):
    item_id: str
    weight: float


class IntroductionView(BaseModel):
    """How the demand of a new item begins: it continues `successor_of`, or it is `like` some items."""

    item_id: str
    successor_of: str | None
    like: list[LikeView]
    scale: Annotated[float, Field(description="Its demand as a multiple of theirs")]
    start: Annotated[date | None, Field(description="null: on its first day with demand")]
    ramp_days: Annotated[int, Field(description="Days from the start in which its demand grows evenly to the whole")]
    changed_at: datetime
    changed_by: str


async def find(sql: asyncpg.Connection, item_id: str) -> IntroductionView | None:
    row = await sql.fetchrow(ONE, item_id)
    return None if row is None else _view(row)


async def get(sql: asyncpg.Connection, item_id: str) -> IntroductionView:
    """Return what is stated of an item. Raise NoSuchIntroduction."""
    found = await find(sql, item_id)
    if found is None:
        raise NoSuchIntroduction(item_id)
    return found


async def page(sql: asyncpg.Connection, after: str | None, limit: int) -> Page[IntroductionView]:
    rows = await sql.fetch(PAGE, after, limit + 1)
    found = [_view(row) for row in rows[:limit]]
    return Page(items=found, next=INTRODUCTIONS.encode(found[-1].item_id) if len(rows) > limit else None)


def _view(row: Any) -> IntroductionView:
    like = [LikeView(item_id=item, weight=weight) for item, weight in zip(row["bases"], row["weights"], strict=True)]
    return IntroductionView(
        item_id=row["item_id"],
        successor_of=row["bases"][0] if row["successor"] else None,
        like=[] if row["successor"] else like,
        scale=row["scale"],
        start=row["start"],
        ramp_days=row["ramp_days"],
        changed_at=row["changed_at"],
        changed_by=row["changed_by"],
    )
