"""Import opening stock: the quantities at which Crossdock begins to count. A row counts once under its reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from crossdock_chassis import Unit, WrongQuantity, in_base_units
from crossdock_events import Cause
from inventory_service.imports.model import ImportRefused, Row, RowError
from inventory_service.imports.views import ImportResult
from inventory_service.stock import store as stocks
from inventory_service.stock.model import MAX_LOCATIONS, Movement

Place: TypeAlias = tuple[str, str, str]
"""Reference, item, location."""

# Returned rows are counted now. The other rows were counted before.
CLAIM = """
    INSERT INTO opening_stock (reference, item_id, location_id, quantity, recorded_at)
    SELECT reference, item_id, location_id, quantity, $5
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS new (reference, item_id, location_id, quantity)
    ORDER BY reference, item_id, location_id
    ON CONFLICT DO NOTHING
    RETURNING reference, item_id, location_id
"""

COUNTED = """
    SELECT reference, item_id, location_id, quantity FROM opening_stock
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS row (reference, item_id, location_id)
         USING (reference, item_id, location_id)
"""


@dataclass(frozen=True, slots=True)
class TakeOpeningStock:
    rows: Sequence[Row]
    cause: Cause


async def take_opening_stock(unit: Unit, command: TakeOpeningStock) -> ImportResult:
    """Count each row that was not counted before.

    Raise ImportRefused for an unknown item or location, for a row that was counted with another quantity, and if too
    many locations would hold an item.
    """
    await _use_base_units(unit, command.rows)
    rows: dict[Place, Row] = {
        (row.cells["reference"], row.cells["item_id"], row.cells["location_id"]): row for row in command.rows
    }
    places = sorted(rows)
    columns = [[place[i] for place in places] for i in range(3)]
    quantities = [rows[place].cells["quantity"] for place in places]
    new = {tuple(row) for row in await unit.sql.fetch(CLAIM, *columns, quantities, unit.now)}
    errors: list[RowError] = []
    if len(new) < len(rows):
        for *place, quantity in await unit.sql.fetch(COUNTED, *columns):
            row = rows[place[0], place[1], place[2]]
            if row.cells["quantity"] != quantity:
                detail = f"{row.cells['reference']} counted {quantity} before: adjust it, or use another reference"
                errors.append(RowError(row.number, "quantity", detail))

    counted = [(place, rows[place]) for place in places if place in new]
    heads = await stocks.lock(unit, {item for (_, item, _), _ in counted})
    stock = await stocks.read(unit, heads)
    errors += _unknown(counted, heads, set(await stocks.locations(unit)))
    if errors:
        raise ImportRefused(sorted(errors, key=lambda error: (error.row, error.column or "")), len(rows))
    why = command.cause.correlation_id
    for (reference, item, location), row in counted:
        if quantity := row.cells["quantity"]:
            stock.move(Movement(item, location, quantity, 0, "opening", reference, None, None, why), command.cause)
    if crowded := set(stock.crowded()):
        detail = f"more than {MAX_LOCATIONS:,} locations would hold the item"
        errors = [RowError(row.number, "location_id", detail) for (_, item, _), row in counted if item in crowded]
        raise ImportRefused(errors, len(rows))
    stock.check()
    await stocks.write(unit, stock)
    return ImportResult(
        kind="opening-stock",
        dry_run=False,
        rows=len(rows),
        created=len(new),
        changed=0,
        unchanged=len(rows) - len(new),
    )


async def _use_base_units(unit: Unit, rows: Sequence[Row]) -> None:
    """Replace the quantity of each row by its quantity in base units. Raise ImportRefused."""
    measured = {row.cells["item_id"] for row in rows if row.cells.get("unit") is not None}
    units = await stocks.units(unit, measured) if measured else {}
    errors = []
    for row in rows:
        name, item = row.cells.get("unit"), row.cells["item_id"]
        if name is not None and item not in units:
            errors.append(RowError(row.number, "item_id", "no item has this id"))
            continue
        try:
            row.cells["quantity"] = in_base_units(row.cells["quantity"], name, *units.get(item, (None, {})))
        except WrongQuantity as error:
            errors.append(RowError(row.number, error.field, error.detail))
    if errors:
        raise ImportRefused(errors, len(rows))


def _unknown(counted: Sequence[tuple[Place, Row]], items: Mapping[str, int], locations: set[str]) -> list[RowError]:
    errors = []
    for (_, item, location), row in counted:
        if item not in items:
            errors.append(RowError(row.number, "item_id", "no item has this id"))
        if location not in locations:
            errors.append(RowError(row.number, "location_id", "no location has this id"))
    return errors
