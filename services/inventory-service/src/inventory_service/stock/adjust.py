"""The command that adjusts the recorded stock. Its verb is in `reservations`, because it may withdraw reservations."""

from dataclasses import dataclass

from crossdock_chassis import Coalescer
from inventory_service.stock.documents import Document
from inventory_service.stock.views import Recorded


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """The document's quantities are signed."""

    document: Document
    location_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Adjusting:
    """The dependency of the route. The feature `reservations` provides it."""

    adjust: Coalescer[AdjustStock, Recorded]
