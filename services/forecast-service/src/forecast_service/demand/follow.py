"""The projection of demand: what orders ask for, by day, item, location and region.

An event changes the facts of an order. What the order counted before and after is compared, and the difference is added
to the days. So events of different topics may come in any order, and a rebuild gives the same days.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderCancelled, OrderPlaced
from crossdock_events.reservations import StockReserved
from forecast_service.demand.model import MEMORY, withdraws
from forecast_service.places import Zones, region_of

DEMAND: Final = "demand"
Counted: TypeAlias = Mapping[tuple[str, str, str, date], int]
Placement: TypeAlias = tuple[UUID, datetime | None, date | None, str]

NEW: Final = """
    INSERT INTO demand_orders (order_id, placed_at, day, region)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::date[], $4::text[])
         AS new (order_id, placed_at, day, region)
    ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING RETURNING order_id
"""

_WANTED: Final = """
    (withdrawn_at IS NULL OR withdrawn_at > placed_at + $2::interval)
    AND (replaced_at IS NULL OR replaced_at > placed_at + $2::interval)
"""

LOCK: Final = f"""
    SELECT order_id, day, reserved_at, coalesce(withdrawn_at, replaced_at) AS ended_at,
           CASE WHEN {_WANTED} THEN placed_at + $2::interval END AS served_until
    FROM demand_orders WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR UPDATE
"""

PLACE: Final = """
    UPDATE demand_orders AS old SET placed_at = new.placed_at, day = new.day, region = new.region
    FROM unnest($1::uuid[], $2::timestamptz[], $3::date[], $4::text[]) AS new (order_id, placed_at, day, region)
    WHERE old.order_id = new.order_id
"""

LINES: Final = """
    INSERT INTO demand_lines (order_id, item_id, quantity)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])
    ON CONFLICT (order_id, item_id) DO UPDATE SET quantity = excluded.quantity
"""

PAY: Final = """
    INSERT INTO demand_prices AS old (item_id, day, currency, quantity, amount)
    SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::bigint[], $5::numeric[])
         AS new (item_id, day, currency, quantity, amount)
    ORDER BY item_id, day, currency
    ON CONFLICT (item_id, day, currency) DO UPDATE
    SET quantity = old.quantity + excluded.quantity, amount = old.amount + excluded.amount
"""

REPLACE: Final = """
    UPDATE demand_orders AS old SET replaced_at = least(old.replaced_at, new.at)
    FROM unnest($1::uuid[], $2::timestamptz[]) AS new (order_id, at) WHERE old.order_id = new.order_id
"""

WITHDRAW: Final = """
    UPDATE demand_orders AS old SET withdrawn_at = new.at
    FROM unnest($1::uuid[], $2::timestamptz[]) AS new (order_id, at) WHERE old.order_id = new.order_id
"""

RESERVE: Final = """
    UPDATE demand_orders AS old SET reserved_at = new.at
    FROM unnest($1::uuid[], $2::timestamptz[]) AS new (order_id, at) WHERE old.order_id = new.order_id
"""

CLEAR: Final = "DELETE FROM demand_places WHERE order_id = ANY ($1::uuid[])"

SERVE: Final = """
    INSERT INTO demand_places (order_id, item_id, location_id, quantity)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
"""

_FACTS: Final = f"""
    SELECT order_id, day, region, reserved_at <= placed_at + $2::interval AS served
    FROM demand_orders
    WHERE order_id = ANY ($1::uuid[]) AND day IS NOT NULL AND {_WANTED}
"""

COUNTED_AT_LOCATIONS: Final = f"""
    SELECT item_id, location_id, '' AS region, day, sum(quantity)::bigint AS quantity
    FROM ({_FACTS}) AS counted JOIN demand_places USING (order_id) WHERE served GROUP BY item_id, location_id, day
"""

COUNTED: Final = f"""
    WITH lines AS MATERIALIZED (
        SELECT item_id, region, day, sum(quantity)::bigint AS quantity
        FROM ({_FACTS}) AS counted JOIN demand_lines USING (order_id) GROUP BY item_id, region, day
    )
    SELECT item_id, '' AS location_id, '' AS region, day, sum(quantity)::bigint AS quantity
    FROM lines GROUP BY item_id, day
    UNION ALL
    SELECT item_id, '', region, day, quantity FROM lines WHERE region <> ''
    UNION ALL
    {COUNTED_AT_LOCATIONS}
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
class First:
    """Orders that counted nothing before a change, in the part that it may change, and what they `count` after it.

    Of those that are `served` it is known only at the end what they count at locations.
    """

    orders: Collection[UUID]
    count: Counted
    served: Collection[UUID] = ()


Find: TypeAlias = Callable[[Collection[UUID], Sequence[Any]], First]
"""Finds the first facts of orders among those that are new, and the rows of those that are known and locked."""
Change: TypeAlias = Callable[[Collection[UUID], First], Awaitable[None]]
"""Changes the facts of orders. It gets those that are new, with their placement, and the first facts."""


@dataclass(frozen=True, slots=True)
class Follow:
    """The handlers of the events of orders and reservations."""

    zones: Zones

    async def place(self, unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        """Count the lines of new orders. An order that replaces another one takes its place.

        Their prices are kept by the day of the placement, whatever becomes of the order: they were asked for.
        """
        placed = {each.event.order_id: each for each in batch}
        replaced = {each.event.replaces: each.time for each in placed.values() if each.event.replaces is not None}
        lines = Counter[tuple[UUID, str]]()
        for id, each in placed.items():
            for line in each.event.lines:
                lines[id, line.item_id] += line.quantity

        placements = {id: self._placement(each) for id, each in placed.items()}

        async def change(new: Collection[UUID], _: First) -> None:
            if known := [placement for id, placement in placements.items() if id not in new]:
                await unit.sql.execute(PLACE, *columns(known))
            await unit.sql.execute(LINES, *columns([(*key, quantity) for key, quantity in lines.items()]))
            if replaced:
                await unit.sql.execute(REPLACE, list(replaced), list(replaced.values()))

        def first(new: Collection[UUID], known: Sequence[Any]) -> First:
            early = {row["order_id"] for row in known if row["day"] is None and row["ended_at"] is None}
            served = (early & placed.keys()) - replaced.keys()
            orders = (placed.keys() & set(new)) - replaced.keys() | served
            found = Counter[tuple[str, str, str, date]]()
            for (id, item), quantity in lines.items():
                if id in orders:
                    *_, day, region = placements[id]
                    for place in {"", region}:
                        found[item, "", place, day] += quantity
            return First(orders, found, served)

        await _count(unit, _only(replaced) | placements, change, first)
        if paid := self._paid(placed.values()):
            await unit.sql.execute(
                PAY, *columns([(*key, quantity, amount) for key, (quantity, amount) in paid.items()])
            )

    async def cancel(self, unit: Unit, batch: Sequence[Envelope[OrderCancelled]]) -> None:
        """Take back what the partner did not want after all. What came too late was wanted, and stays."""
        withdrawn = {each.event.order_id: each.time for each in batch if withdraws(each.event.reason)}

        async def change(*_: object) -> None:
            await unit.sql.execute(WITHDRAW, list(withdrawn), list(withdrawn.values()))

        await _count(unit, _only(withdrawn), change, lambda new, known: First(new, {}))

    async def reserve(self, unit: Unit, batch: Sequence[Envelope[StockReserved]]) -> None:
        """Count at the locations that serve the orders: the last event of an order has all of them."""
        last = {each.event.order_id: each for each in batch}
        places = Counter[tuple[UUID, str, str]]()
        for id, each in last.items():
            for line in each.event.lines:
                for allocation in line.allocations:
                    places[id, line.item_id, allocation.location_id] += allocation.quantity

        async def change(_: Collection[UUID], first: First) -> None:
            await unit.sql.execute(RESERVE, list(last), [each.time for each in last.values()])
            if again := [id for id in last if id not in first.orders]:
                await unit.sql.execute(CLEAR, again)
            if places:
                await unit.sql.execute(SERVE, *columns([(*key, quantity) for key, quantity in places.items()]))

        def first(new: Collection[UUID], known: Sequence[Any]) -> First:
            rows = {row["order_id"]: row for row in known if row["reserved_at"] is None}
            found = Counter[tuple[str, str, str, date]]()
            for (id, item, location), quantity in places.items():
                row = rows.get(id)
                if row is not None and row["served_until"] is not None and last[id].time <= row["served_until"]:
                    found[item, location, "", row["day"]] += quantity
            return First({*new, *rows}, found)

        await _count(unit, _only(last), change, first, counted=COUNTED_AT_LOCATIONS)

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

    def _placement(self, each: Envelope[OrderPlaced]) -> tuple[UUID, datetime, date, str]:
        region = region_of(each.event.ship_to)
        return each.event.order_id, each.time, self.zones.day(each.time, each.event.requested_date, region), region


async def follow_items(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
    """Apply the last event of each item: each has the whole item."""
    rows = [
        (item, each.event.status, each.event.category, each.event.unit_of_measure, each.sequence)
        for item, each in {each.event.item_id: each for each in batch}.items()
    ]
    await unit.sql.execute(NAME, *columns(rows))


def _only(orders: Iterable[UUID]) -> dict[UUID, Placement]:
    """Return rows of orders whose placement is not known."""
    return {id: (id, None, None, "") for id in orders}


async def _count(
    unit: Unit, orders: Mapping[UUID, Placement], change: Change, find: Find, *, counted: str = COUNTED
) -> None:
    """Change facts of orders, and add the difference of what they count to the days.

    `counted` is the query for that part of what they count that may differ.
    """
    if not orders:
        return
    new = {row["order_id"] for row in await unit.sql.fetch(NEW, *columns(orders.values()))}
    rows: Sequence[Any] = ()
    if known := [order for order in orders if order not in new]:
        # A statement of its own: the next one must see what was waited for.
        rows = await unit.sql.fetch(LOCK, known, MEMORY)
    first = find(new, rows)
    again = [order for order in known if order not in first.orders]
    before = await _counted(unit, counted, again)
    await change(new, first)
    after = Counter(first.count)
    after.update(await _counted(unit, COUNTED_AT_LOCATIONS, list(first.served)))
    after.update(await _counted(unit, counted, [order for order in orders if order not in first.orders]))
    rows = [(*key, more) for key in after.keys() | before if (more := after[key] - before.get(key, 0))]
    if rows:
        await unit.sql.execute(ADD, *columns(rows))


async def _counted(unit: Unit, counted: str, orders: Sequence[UUID]) -> Counted:
    if not orders:
        return {}
    rows = await unit.sql.fetch(counted, orders, MEMORY)
    return {(item, location, region, day): quantity for item, location, region, day, quantity in rows}
