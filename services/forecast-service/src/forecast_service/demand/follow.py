"""The projection of demand: what orders ask for, by day, item, location and region.

An event changes the facts of an order. What the order counted before and after is compared, and the difference is added
to the days. So events of different topics may come in any order, and a rebuild gives the same days.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json, to_json

from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderCancelled, OrderPlaced
from crossdock_events.reservations import StockReserved
from forecast_service.demand.model import Days, Order, withdraws
from forecast_service.places import Zones, region_of

DEMAND: Final = "demand"

_TOLD: Final = """
    unnest($1::uuid[], $2::timestamptz[], $3::date[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[],
           $8::text[]) AS new (order_id, placed_at, day, region, ended_at, reserved_at, lines, places)
"""

NEW: Final = f"""
    INSERT INTO demand_orders (order_id, placed_at, day, region, ended_at, reserved_at, lines, places)
    SELECT order_id, placed_at, day, region, ended_at, reserved_at, lines::json, places::json FROM {_TOLD}
    ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING RETURNING order_id
"""

LOCK: Final = """
    SELECT order_id, placed_at, day, region, ended_at, reserved_at, lines::text AS lines, places::text AS places
    FROM demand_orders WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR UPDATE
"""

CHANGE: Final = f"""
    UPDATE demand_orders AS old
    SET placed_at = coalesce(new.placed_at, old.placed_at), day = coalesce(new.day, old.day),
        region = coalesce(new.region, old.region), ended_at = least(new.ended_at, old.ended_at),
        reserved_at = coalesce(new.reserved_at, old.reserved_at), lines = coalesce(new.lines::json, old.lines),
        places = coalesce(new.places::json, old.places)
    FROM {_TOLD} WHERE old.order_id = new.order_id
"""

PAY: Final = """
    INSERT INTO demand_prices AS old (item_id, day, currency, quantity, amount)
    SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::bigint[], $5::numeric[])
         AS new (item_id, day, currency, quantity, amount)
    ORDER BY item_id, day, currency
    ON CONFLICT (item_id, day, currency) DO UPDATE
    SET quantity = old.quantity + excluded.quantity, amount = old.amount + excluded.amount
"""

ADD: Final = """
    INSERT INTO demand_days AS old (item_id, location_id, region, day, quantity)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::bigint[])
         AS new (item_id, location_id, region, day, quantity)
    ORDER BY item_id, location_id, region, day
    ON CONFLICT (item_id, location_id, region, day) DO UPDATE SET quantity = old.quantity + excluded.quantity
"""

NAME: Final = """
    INSERT INTO demand_items AS old (item_id, status, category, unit_of_measure, sequence)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
         AS new (item_id, status, category, unit_of_measure, sequence)
    ORDER BY item_id
    ON CONFLICT (item_id) DO UPDATE SET status = excluded.status, category = excluded.category,
        unit_of_measure = excluded.unit_of_measure, sequence = excluded.sequence
    WHERE old.sequence < excluded.sequence
"""


@dataclass(frozen=True, slots=True)
class Follow:
    """The handlers of the events of orders and reservations."""

    zones: Zones

    async def place(self, unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        """Count the lines of new orders. An order that replaces another one takes its place.

        Their prices are kept by the day of the placement, whatever becomes of the order: they were asked for.
        """
        placed = {each.event.order_id: each for each in batch}
        told = {id: self._placed(each) for id, each in placed.items()}
        for each in placed.values():
            if (replaced := each.event.replaces) is not None:
                told[replaced] = told.get(replaced, Order()).after(Order(ended_at=each.time))
        await _count(unit, told)
        if paid := self._paid(placed.values()):
            await unit.sql.execute(
                PAY, *columns([(*key, quantity, amount) for key, (quantity, amount) in paid.items()])
            )

    async def cancel(self, unit: Unit, batch: Sequence[Envelope[OrderCancelled]]) -> None:
        """Take back what the partner did not want after all. What came too late was wanted, and stays."""
        await _count(
            unit, {each.event.order_id: Order(ended_at=each.time) for each in batch if withdraws(each.event.reason)}
        )

    async def reserve(self, unit: Unit, batch: Sequence[Envelope[StockReserved]]) -> None:
        """Count at the locations that serve the orders: the last event of an order has all of them."""
        await _count(unit, {each.event.order_id: _reserved(each) for each in batch})

    def _paid(self, placed: Iterable[Envelope[OrderPlaced]]) -> Mapping[tuple[str, date, str], tuple[int, Decimal]]:
        """Return quantities and amounts by item, day of placement and currency, of lines that cost something."""
        paid: dict[tuple[str, date, str], tuple[int, Decimal]] = {}
        for each in placed:
            day = self.zones.day(each.time, None, region_of(each.event.ship_to))
            for line in each.event.lines:
                if line.amount > 0:
                    key = line.item_id, day, each.event.currency
                    quantity, amount = paid.get(key, (0, Decimal(0)))
                    paid[key] = quantity + line.quantity, amount + line.amount
        return paid

    def _placed(self, each: Envelope[OrderPlaced]) -> Order:
        lines: dict[str, int] = {}
        for line in each.event.lines:
            lines[line.item_id] = lines.get(line.item_id, 0) + line.quantity
        region = region_of(each.event.ship_to)
        return Order(each.time, self.zones.day(each.time, each.event.requested_date, region), region, lines=lines)


def _reserved(each: Envelope[StockReserved]) -> Order:
    places: dict[str, dict[str, int]] = {}
    for line in each.event.lines:
        of_item = places.setdefault(line.item_id, {})
        for part in line.allocations:
            of_item[part.location_id] = of_item.get(part.location_id, 0) + part.quantity
    return Order(reserved_at=each.time, places=places)


async def follow_items(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
    """Apply the last event of each item: each has the whole item."""
    rows = [
        (item, each.event.status, each.event.category, each.event.unit_of_measure, each.sequence)
        for item, each in {each.event.item_id: each for each in batch}.items()
    ]
    await unit.sql.execute(NAME, *columns(rows))


async def _count(unit: Unit, told: Mapping[UUID, Order]) -> None:
    """Store new facts of orders, and add the difference of what they count to the days."""
    if not told:
        return
    rows = {id: _row(id, order) for id, order in told.items()}
    new = {row["order_id"] for row in await unit.sql.fetch(NEW, *columns(rows.values()))}
    days: Days = {}
    for id in new:
        told[id].add(days, 1)
    if known := [id for id in told if id not in new]:
        # A statement of its own: it must see what the one before waited for.
        for id, *facts in await unit.sql.fetch(LOCK, known):
            before = _order(*facts)
            before.add(days, -1)
            before.after(told[id]).add(days, 1)
        await unit.sql.execute(CHANGE, *columns([rows[id] for id in known]))
    if differences := [(*key, more) for key, more in days.items() if more]:
        await unit.sql.execute(ADD, *columns(differences))


def _row(id: UUID, order: Order) -> Sequence[Any]:
    *facts, lines, places = order
    return id, *facts, *(None if each is None else to_json(each).decode() for each in (lines, places))


def _order(*facts: Any) -> Order:
    *others, lines, places = facts
    return Order(*others, *(None if each is None else from_json(each) for each in (lines, places)))
