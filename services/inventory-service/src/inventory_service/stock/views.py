"""Views of stock: documents, availability, the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis import Changes, Cursor, Feed, Page
from inventory_service.stock.model import NoSuchDocument
from inventory_service.tables import DocumentRow, ItemRow, LevelRow, MovementRow

DocumentKind: TypeAlias = Literal["receipt", "adjustment", "transfer"]
LEDGER: Cursor[int] = Cursor("ledger", int)
FEED: Feed[int] = Feed("ledger", tuple[int, int, int], 0)


class DocumentLine(BaseModel):
    item_id: str
    quantity: int | float
    unit: str | None = None
    base_quantity: Annotated[int | None, Field(description="In base units, if the line names a unit")] = None


class DocumentView(BaseModel):
    """A receipt and an adjustment have a `location_id`, a transfer `from_location_id` and `to_location_id`; an
    adjustment has its `reason`."""

    id: UUID
    kind: DocumentKind
    reference: str
    location_id: str | None = None
    from_location_id: str | None = None
    to_location_id: str | None = None
    reason: str | None = None
    lines: list[DocumentLine]
    recorded_at: datetime

    @classmethod
    def of(cls, id: UUID, kind: DocumentKind, body: dict[str, Any], recorded_at: datetime) -> "DocumentView":
        return cls(id=id, kind=kind, recorded_at=recorded_at, **body)

    def measure(self, base_quantities: Sequence[int] | None) -> None:
        """Add the quantities in base units to the lines that name a unit."""
        for line, quantity in zip(self.lines, base_quantities or (), strict=False):
            if line.unit is not None:
                line.base_quantity = quantity


class Recorded(BaseModel):
    document: DocumentView
    created: bool


class LocationLevel(BaseModel):
    location_id: str
    on_hand: int
    reserved: int
    available: int


class Missing(BaseModel):
    """Why an entry of a list has no content."""

    type: str = "urn:crossdock:problem:no-such-item"
    status: int = 404
    title: str = "No item has this id"


class Availability(BaseModel):
    """The stock at all locations together, and at each. An unknown item has a `problem` and no stock."""

    item_id: str
    status: str | None = None
    on_hand: int = 0
    reserved: int = 0
    available: int = 0
    locations: list[LocationLevel] = []
    problem: Missing | None = None


class MovementView(BaseModel):
    """The change of both numbers of a level. `reference` is the id of the order, or the reference of the document."""

    id: int
    item_id: str
    location_id: str
    on_hand: int
    reserved: int
    kind: str
    reference: str
    line_id: str | None
    reason: str | None
    cause: UUID
    at: datetime


async def document(session: AsyncSession, kind: DocumentKind, partner: str | None, id: UUID) -> DocumentView:
    """Return a document of the partner, or of any without one. Raise NoSuchDocument, also for another partner's."""
    row = await session.get(DocumentRow, id)
    if row is None or row.kind != kind or partner not in (None, row.partner):
        raise NoSuchDocument(f"No {kind} has this id")
    found = DocumentView.of(row.id, kind, row.body, row.recorded_at)
    found.measure(row.base_quantities)
    return found


async def availability(session: AsyncSession, items: Sequence[str]) -> list[Availability]:
    """Return the availability of each item, in the given order."""
    query = select(ItemRow.item_id, ItemRow.status).where(ItemRow.item_id.in_(items))
    status = {row.item_id: row.status for row in await session.execute(query)}
    found = {item: Availability(item_id=item, status=status[item]) for item in status}
    levels = select(LevelRow).where(LevelRow.item_id.in_(items)).order_by(LevelRow.location_id)
    for level in await session.scalars(levels):
        total, free = found[level.item_id], level.on_hand - level.reserved
        total.on_hand += level.on_hand
        total.reserved += level.reserved
        total.available += free
        total.locations.append(
            LocationLevel(location_id=level.location_id, on_hand=level.on_hand, reserved=level.reserved, available=free)
        )
    return [found.get(item) or Availability(item_id=item, problem=Missing()) for item in items]


async def ledger(
    session: AsyncSession,
    *,
    item_id: str | None,
    location_id: str | None,
    kind: str | None,
    reference: str | None,
    since: datetime | None,
    until: datetime | None,
    before: int | None,
    limit: int,
) -> Page[MovementView]:
    """Return a page of movements, the newest first."""
    query = select(MovementRow).order_by(MovementRow.id.desc()).limit(limit + 1)
    equal = {
        MovementRow.item_id: item_id,
        MovementRow.location_id: location_id,
        MovementRow.kind: kind,
        MovementRow.reference: reference,
    }
    for column, value in equal.items():
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(MovementRow.at >= since)
    if until is not None:
        query = query.where(MovementRow.at < until)
    if before is not None:
        query = query.where(MovementRow.id < before)
    rows = (await session.scalars(query)).all()
    more = LEDGER.encode(rows[limit - 1].id) if len(rows) > limit else None
    items = [MovementView.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return Page(items=items, next=more)


async def ledger_changes(session: AsyncSession, cursor: str | None, limit: int) -> Changes[MovementView]:
    """Return the movements after the cursor, in commit order."""
    span, row = await FEED.span(session, cursor), MovementRow
    query = select(row).where(span.holds(row.changed_in, row.id)).order_by(row.changed_in, row.id).limit(limit)
    rows = (await session.scalars(query)).all()
    items = [MovementView.model_validate(each, from_attributes=True) for each in rows]
    return Changes(items=items, next=span.next([(each.changed_in, each.id) for each in rows]))
