"""Import opening stock: the quantities at which Crossdock begins to count. A row counts once under its reference."""

from collections.abc import Container, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from crossdock_chassis import Chunk, Counts, Row, RowError, RowsRefused, Unit, WrongQuantity, in_base_units
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


class _Counted(NamedTuple):
    """A row and its quantity in base units."""

    number: int
    quantity: int


async def take_opening_stock(unit: Unit, chunk: Chunk) -> Counts:
    """Count each row that was not counted before.

    Raise RowsRefused for rows with an unknown item or location, for rows that were counted with another quantity, and
    for rows after which too many locations would hold an item.
    """
    counted = await _in_base_units(unit, chunk.rows)
    places = sorted(counted)
    columns = [[place[i] for place in places] for i in range(3)]
    quantities = [counted[place].quantity for place in places]
    new = {tuple(row) for row in await unit.sql.fetch(CLAIM, *columns, quantities, unit.now)}
    errors: list[RowError] = []
    if len(new) < len(counted):
        for *place, quantity in await unit.sql.fetch(COUNTED, *columns):
            row = counted[place[0], place[1], place[2]]
            if row.quantity != quantity:
                detail = f"{place[0]} counted {quantity} before: adjust it, or use another reference"
                errors.append(RowError(row.number, "quantity", detail))

    fresh = [(place, counted[place]) for place in places if place in new]
    heads = await stocks.lock(unit, {item for (_, item, _), _ in fresh})
    stock = await stocks.read(unit, heads)
    errors += _unknown(fresh, heads, set(await stocks.locations(unit)))
    if errors:
        raise RowsRefused(errors)
    why = chunk.cause.correlation_id
    for (reference, item, location), row in fresh:
        if row.quantity:
            stock.move(Movement(item, location, row.quantity, 0, "opening", reference, None, None, why), chunk.cause)
    if crowded := set(stock.crowded()):
        detail = f"more than {MAX_LOCATIONS:,} locations would hold the item"
        raise RowsRefused(
            [RowError(row.number, "location_id", detail) for (_, item, _), row in fresh if item in crowded]
        )
    stock.check()
    await stocks.write(unit, stock)
    return Counts(created=len(new), unchanged=len(counted) - len(new))


async def _in_base_units(unit: Unit, rows: Sequence[Row]) -> dict[Place, _Counted]:
    """Return the quantity of each row in base units. Raise RowsRefused."""
    measured = {row.cells["item_id"] for row in rows if row.cells.get("unit") is not None}
    units = await stocks.units(unit, measured) if measured else {}
    counted, errors = dict[Place, _Counted](), list[RowError]()
    for row in rows:
        name, item = row.cells.get("unit"), row.cells["item_id"]
        if name is not None and item not in units:
            errors.append(RowError(row.number, "item_id", "no item has this id"))
            continue
        try:
            quantity = in_base_units(Decimal(row.cells["quantity"]), name, *units.get(item, (None, {})))
        except WrongQuantity as error:
            errors.append(RowError(row.number, error.field, error.detail))
            continue
        counted[row.cells["reference"], item, row.cells["location_id"]] = _Counted(row.number, quantity)
    if errors:
        raise RowsRefused(errors)
    return counted


def _unknown(rows: Sequence[tuple[Place, _Counted]], items: Container[str], locations: set[str]) -> list[RowError]:
    errors = []
    for (_, item, location), row in rows:
        if item not in items:
            errors.append(RowError(row.number, "item_id", "no item has this id"))
        if location not in locations:
            errors.append(RowError(row.number, "location_id", "no location has this id"))
    return errors
