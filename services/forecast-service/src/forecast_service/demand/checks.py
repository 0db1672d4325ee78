"""The invariant of demand: each day equals the fold of the orders in the log."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from crossdock_chassis import AtRest, CheckAtRest, LogEvent
from crossdock_events.orders import Destination, OrderEvent
from crossdock_events.reservations import ReservationEvent
from forecast_service.demand.model import MEMORY, withdraws
from forecast_service.places import Zones, region_of

CHUNK: Final = 1_000

PRICES: Final = "SELECT item_id, day, currency, quantity, amount FROM demand_prices"

DAYS: Final = "SELECT item_id, location_id, region, day, quantity FROM demand_days WHERE quantity <> 0"


def fold(
    zones: Zones, orders: Sequence[LogEvent], reserved: LogEvent | None, replaced_at: datetime | None
) -> Counter[tuple[str, str, str, date]]:
    """Return what an order counts after its events, and after the placement of the order that replaces it."""
    counted: Counter[tuple[str, str, str, date]] = Counter()
    placed = next((each for each in orders if each.type == "crossdock.OrderPlaced.v1"), None)
    if placed is None:
        return counted
    placed_at = datetime.fromisoformat(placed.time)
    last_at = placed_at + MEMORY
    ends = [
        datetime.fromisoformat(each.time)
        for each in orders
        if each.type == "crossdock.OrderCancelled.v1" and withdraws(each.data["reason"])
    ]
    if replaced_at is not None:
        ends.append(replaced_at)
    if any(each <= last_at for each in ends):
        return counted
    to = placed.data.get("ship_to")
    region = region_of(None if to is None else Destination.model_validate(to))
    wanted = placed.data.get("requested_date")
    day = zones.day(placed_at, None if wanted is None else date.fromisoformat(wanted), region)
    for line in placed.data["lines"]:
        counted[line["item_id"], "", "", day] += line["quantity"]
        if region:
            counted[line["item_id"], "", region, day] += line["quantity"]
    if reserved is not None and datetime.fromisoformat(reserved.time) <= last_at:
        for line in reserved.data["lines"]:
            for each in line["allocations"]:
                counted[line["item_id"], each["location_id"], "", day] += each["quantity"]
    return counted


def paid(zones: Zones, placed: LogEvent) -> Iterator[tuple[tuple[str, date, str], int, Decimal]]:
    """Yield what each line with an amount asks for, and its amount, by item, day of placement and currency."""
    to = placed.data.get("ship_to")
    region = region_of(None if to is None else Destination.model_validate(to))
    day = zones.day(datetime.fromisoformat(placed.time), None, region)
    for line in placed.data["lines"]:
        if (amount := Decimal(line["amount"])) > 0:
            yield (line["item_id"], day, placed.data["currency"]), line["quantity"], amount


def not_the_orders(zones: Zones) -> CheckAtRest:
    async def find(at_rest: AtRest) -> AsyncIterator[str]:
        served = {
            id: next((each for each in reversed(events) if each.type == "crossdock.StockReserved.v1"), None)
            for id, events in at_rest.whole.events(ReservationEvent).items()
        }
        replaced = {
            each.data["replaces"]: datetime.fromisoformat(each.time)
            for _, events in at_rest.whole.events(OrderEvent).items()
            for each in events
            if each.data.get("replaces")
        }
        expected: Counter[tuple[str, str, str, date]] = Counter()
        unsure: set[str] = set()
        quantities: Counter[tuple[str, date, str]] = Counter()
        amounts: dict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
        # Each pass reads the log once. A look at one key costs a query.
        for id, events in at_rest.whole.events(OrderEvent).items():
            own = fold(zones, events, served.get(id), replaced.get(id))
            expected.update(own)
            head = 0
            for each in events:  # in the sequence of the log: a placement behind a later event is ignored
                if each.type == "crossdock.OrderPlaced.v1" and each.sequence > head:
                    for key, quantity, amount in paid(zones, each):
                        quantities[key] += quantity
                        amounts[key] += amount
                head = max(head, each.sequence)
            if id in at_rest.stuck:
                unsure |= {line["item_id"] for each in events for line in each.data.get("lines", ())}
        async for *key, quantity in at_rest.sql.cursor(DAYS, prefetch=CHUNK):
            item, location, region, day = key
            wanted = expected.pop((item, location, region, day), 0)
            if quantity != wanted and item not in unsure:
                yield f"{item} {location or region} on {day}: counted is {quantity}, the orders have {wanted}"
        for (item, location, region, day), wanted in expected.items():
            if wanted and item not in unsure:
                yield f"{item} {location or region} on {day}: nothing is counted, the orders have {wanted}"
        async for item, day, currency, quantity, amount in at_rest.sql.cursor(PRICES, prefetch=CHUNK):
            key = item, day, currency
            units, total = quantities.pop(key, 0), amounts.get(key, Decimal(0))
            if (quantity, amount) != (units, total) and item not in unsure:
                yield f"{item} on {day}: {quantity} for {amount} {currency}, the orders have {units} for {total}"
        for item, day, currency in quantities:
            if item not in unsure:
                yield f"{item} on {day}: no price in {currency}, the orders have one"

    return CheckAtRest(5, "other", "days of demand that differ from the orders in the log", find)
