"""Views of the catalogue, and their query."""

from collections.abc import Collection
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Cursor, Page
from inventory_service.tables import ItemRow, LevelRow

CATALOGUE: Cursor[str] = Cursor("catalogue", str)


class Entry(BaseModel):
    """An item that can be ordered. An order may name its base unit or one of its `units`."""

    item_id: str
    unit_of_measure: Annotated[str, Field(description="The base unit")]
    units: Annotated[dict[str, int], Field(description="The other units, each with its number of base units")]
    category: str | None
    available: Annotated[bool, Field(description="Whether any stock is on hand and not reserved")]


class Quantities(Entry):
    available_quantity: Annotated[int, Field(description="On hand and not reserved, in base units")]


E = TypeVar("E", bound=Entry)


async def page(
    session: AsyncSession,
    view: type[E],
    items: Collection[str] | None,
    category: str | None,
    after: str | None,
    limit: int,
) -> Page[E]:
    """Return a page of active items by id."""
    free = (
        select(func.coalesce(func.sum(LevelRow.on_hand - LevelRow.reserved), 0).cast(BigInteger))
        .where(LevelRow.item_id == ItemRow.item_id)
        .scalar_subquery()
    )
    query = select(ItemRow, free).where(ItemRow.status == "active").order_by(ItemRow.item_id).limit(limit + 1)
    if items is not None:
        query = query.where(ItemRow.item_id.in_(items))
    if category is not None:
        query = query.where(ItemRow.category == category)
    if after is not None:
        query = query.where(ItemRow.item_id > after)
    rows = (await session.execute(query)).all()
    more = CATALOGUE.encode(rows[limit - 1][0].item_id) if len(rows) > limit else None
    entries = [
        view.model_validate(
            {
                "item_id": item.item_id,
                "unit_of_measure": item.unit_of_measure,
                "units": item.units,
                "category": item.category,
                "available": quantity > 0,
                "available_quantity": quantity,
            }
        )
        for item, quantity in rows[:limit]
    ]
    return Page(items=entries, next=more)
