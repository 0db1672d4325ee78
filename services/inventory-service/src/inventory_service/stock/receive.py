"""Receive goods."""

from dataclasses import dataclass

from crossdock_chassis import Unit
from inventory_service.stock import documents
from inventory_service.stock.documents import Document
from inventory_service.stock.views import Recorded


@dataclass(frozen=True, slots=True)
class ReceiveStock:
    document: Document
    location_id: str


async def receive_stock(unit: Unit, command: ReceiveStock) -> Recorded:
    """Record a receipt. The release job serves waiting backorders a moment later, in a batch of its own."""
    return await documents.record(
        unit, command.document, [(+1, command.location_id)], {"location_id": command.location_id}
    )
