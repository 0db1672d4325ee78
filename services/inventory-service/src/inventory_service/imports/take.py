"""Import a file of any of the three kinds."""

from typing import TypeAlias

from crossdock_chassis import Unit
from inventory_service.imports.take_items import TakeItems, take_items
from inventory_service.imports.take_locations import TakeLocations, take_locations
from inventory_service.imports.take_opening_stock import TakeOpeningStock, take_opening_stock
from inventory_service.imports.views import ImportResult

Take: TypeAlias = TakeItems | TakeLocations | TakeOpeningStock


async def take_file(unit: Unit, command: Take) -> ImportResult:
    match command:
        case TakeItems():
            return await take_items(unit, command)
        case TakeLocations():
            return await take_locations(unit, command)
        case TakeOpeningStock():
            return await take_opening_stock(unit, command)
