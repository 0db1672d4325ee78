"""The three kinds of files: their columns, the rules of their cells, and the verbs that apply their rows."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from crossdock_chassis import Column, ImportKind, Sheet
from inventory_service.imports.take_items import take_items
from inventory_service.imports.take_locations import take_locations
from inventory_service.imports.take_opening_stock import take_opening_stock
from inventory_service.items.model import (
    MAX_FACTOR,
    MAX_UNITS,
    Category,
    Description,
    ItemId,
    Status,
    UnitOfMeasure,
)
from inventory_service.locations.model import Country, LocationId, Name, Rank
from inventory_service.stock.model import UNIT, Id, OpeningQuantity, Reference, UnitName


def _units(cell: str) -> dict[str, int]:
    found = re.findall(rf"({UNIT})=([0-9]{{1,7}})(?: |$)", cell)
    units = {unit: int(factor) for unit, factor in found}
    if " ".join(f"{unit}={factor}" for unit, factor in found) != cell or len(units) < len(found):
        raise PydanticCustomError("units", "must name each unit once with its factor, such as kg=1000 sack=25000")
    if len(units) > MAX_UNITS or not all(1 <= factor <= MAX_FACTOR for factor in units.values()):
        raise PydanticCustomError(
            "units", f"must have at most {MAX_UNITS} units, each with a factor from 1 to {MAX_FACTOR}"
        )
    return units


Units: TypeAlias = Annotated[dict[str, int], PlainValidator(_units)]


def _opening_stock(cells: dict[str, Any], arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Fill in the reference of a row that has none of its own. Yield the error of a fraction without a unit."""
    if cells.get("reference") is None:
        cells["reference"] = arguments["reference"]
    quantity = cells.get("quantity")
    if isinstance(quantity, Decimal) and cells.get("unit") is None and quantity % 1:
        yield "quantity", "must be a whole number, or the row must name a unit"


_ITEMS: Final = Sheet(
    (
        Column("item_id", ItemId, required=True, example="SKU-1"),
        Column("description", Description, example="A short description"),
        Column("unit_of_measure", UnitOfMeasure, example="each"),
        Column("units", Units, example="case=12"),
        Column("category", Category, example="GROCERY"),
        Column("status", Status, example="active"),
    ),
    key=("item_id",),
)
_LOCATIONS: Final = Sheet(
    (
        Column("location_id", LocationId, required=True, example="dc-north"),
        Column("name", Name, required=True, example="Northern distribution centre"),
        Column("rank", Rank, example="1"),
        Column("country", Country, example="US"),
    ),
    key=("location_id",),
)
_OPENING_STOCK: Final = Sheet(
    (
        Column("reference", Reference, example="opening-2026"),
        Column("location_id", Id, required=True, example="dc-north"),
        Column("item_id", Id, required=True, example="SKU-1"),
        Column("quantity", OpeningQuantity, required=True, example="100"),
        Column("unit", UnitName, example="each"),
    ),
    key=("reference", "location_id", "item_id"),
    rule=_opening_stock,
)


def items() -> Sheet:
    return _ITEMS


def locations() -> Sheet:
    return _LOCATIONS


def opening_stock() -> Sheet:
    return _OPENING_STOCK


ITEMS: Final = ImportKind("items", items, take_items)
LOCATIONS: Final = ImportKind("locations", locations, take_locations)
OPENING_STOCK: Final = ImportKind("opening-stock", opening_stock, take_opening_stock)
ALL: Final = {kind.name: kind for kind in (ITEMS, LOCATIONS, OPENING_STOCK)}
