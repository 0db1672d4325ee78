"""Views of items."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Cursor, Page, etag, segment
from inventory_service.conventions import Resource
from inventory_service.items.model import Item, NoSuchItem, Status
from inventory_service.tables import ItemRow

ITEMS: Cursor[str] = Cursor("items", str)


class ItemView(Resource):
    """`version` is the sequence of the item's last event, and the ETag of the item."""

    item_id: str
    unit_of_measure: str
    units: Annotated[dict[str, int], Field(description="The other units, each with its number of base units")]
    category: str | None
    status: Status
    description: str | None
    version: int

    @property
    def path(self) -> str:
        return f"/v1/items/{segment(self.item_id)}"

    @property
    def etag(self) -> str:
        return etag(self.version)

    @classmethod
    def of(cls, item: Item) -> "ItemView":
        traits = item.traits
        return cls(
            item_id=item.item_id,
            unit_of_measure=traits.unit_of_measure,
            units=dict(traits.units),
            category=traits.category,
            status=traits.status,
            description=traits.description,
            version=item.sequence,
        )


async def get(session: AsyncSession, item_id: str) -> ItemView:
    """Return an item. Raise NoSuchItem."""
    row = await session.get(ItemRow, item_id)
    if row is None:
        raise NoSuchItem(item_id)
    return _view(row)


async def page(
    session: AsyncSession, status: Status | None, category: str | None, after: str | None, limit: int
) -> Page[ItemView]:
    query = select(ItemRow).order_by(ItemRow.item_id).limit(limit + 1)
    if status is not None:
        query = query.where(ItemRow.status == status)
    if category is not None:
        query = query.where(ItemRow.category == category)
    if after is not None:
        query = query.where(ItemRow.item_id > after)
    rows = (await session.scalars(query)).all()
    more = ITEMS.encode(rows[limit - 1].item_id) if len(rows) > limit else None
    return Page(items=[_view(row) for row in rows[:limit]], next=more)


def _view(row: ItemRow) -> ItemView:
    return ItemView.model_validate(
        {
            "item_id": row.item_id,
            "unit_of_measure": row.unit_of_measure,
            "units": row.units,
            "category": row.category,
            "status": row.status,
            "description": row.description,
            "version": row.sequence,
        }
    )
