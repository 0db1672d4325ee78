"""Move stock from one location to another. It arrives at once, because there is no transit yet."""

from dataclasses import dataclass

from crossdock_chassis import Unit
from inventory_service.stock import documents
from inventory_service.stock.documents import Document
from inventory_service.stock.views import Recorded


@dataclass(frozen=True, slots=True)
class TransferStock:
    document: Document
    from_location_id: str
    to_location_id: str


async def transfer_stock(unit: Unit, command: TransferStock) -> Recorded:
    return await documents.record(
        unit,
        command.document,
        [(-1, command.from_location_id), (+1, command.to_location_id)],
        {"from_location_id": command.from_location_id, "to_location_id": command.to_location_id},
    )
