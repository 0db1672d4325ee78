"""Adjust the recorded stock if more or less is there."""

from dataclasses import dataclass

from crossdock_chassis import Unit
from inventory_service.stock import documents
from inventory_service.stock.documents import Document
from inventory_service.stock.views import Recorded


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """The document's quantities are signed."""

    document: Document
    location_id: str
    reason: str


async def adjust_stock(unit: Unit, command: AdjustStock) -> Recorded:
    return await documents.record(
        unit, command.document, [(+1, command.location_id)], {"location_id": command.location_id}, command.reason
    )
