"""Serve backorders from stock that became free, in a batch of its own. So receipts and cancels do not wait for this.

The first plan is made without locks, from all waiting orders that could be served. Then the orders that it grants are
locked (reservations, then heads), up to the limit of one unit, and a second plan is made under the locks. So an
outdated first plan neither promises stock twice nor serves an order before its turn.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

from crossdock_chassis import Unit
from crossdock_events import Cause
from inventory_service.reservations import store
from inventory_service.reservations.model import Allocation, Demand, Reservation, allocate
from inventory_service.reservations.reserve import take
from inventory_service.stock import store as stocks

LOOK_AT = 2_000


def serving(earmark_after: timedelta, max_orders: int) -> Callable[[Unit], Awaitable[None]]:
    """Return the job that serves up to `max_orders` orders a unit. Whole orders older than `earmark_after` earmark."""

    async def serve_backorders(unit: Unit) -> None:
        await serve(unit, unit.now - earmark_after, max_orders)

    return serve_backorders


async def serve(unit: Unit, earmark_before: datetime, max_orders: int) -> int:
    """Serve waiting orders and return how many got stock. Entries leave the queue once they can serve no order."""
    entries, items = await store.queued(unit)
    if not entries:
        return 0
    wanted, done = await _plan(unit, items, earmark_before)
    chosen = list(wanted)[:max_orders]
    granted: dict[UUID, list[Allocation]] = {}
    if chosen:
        locked = await store.lock_waiting(unit, chosen)
        heads = await stocks.lock(
            unit,
            {
                item_id
                for each in locked.values()
                for line_id, item_id, requested in each.reservation.lines
                if each.reservation.reserved(line_id) < requested
            },
        )
        now, done = await _plan(unit, items, earmark_before)
        granted = {order_id: allocations for order_id, allocations in now.items() if order_id in locked}
        done = done and len(granted) == len(now)
        stock = await stocks.read(unit, heads)
        served: list[Reservation] = []
        causes: list[Cause] = []
        for order_id, allocations in granted.items():
            reservation, correlation_id = locked[order_id]
            reservation.grant(allocations)
            reservation.sequence += 1
            served.append(reservation)
            cause = Cause(correlation_id)
            causes.append(cause)
            take(stock, allocations, cause)
            unit.publish(reservation.to_event(), sequence=reservation.sequence, cause=cause)
        if served:
            await store.update_lines(unit, served)
            await store.hold_more(unit, served, granted, causes, stock)
            await store.decide(unit, served)
            stocks.publish_levels(unit, stock)
    if done:
        await store.dequeue(unit, entries)
    return len(granted)


async def _plan(
    unit: Unit, items: Collection[str], earmark_before: datetime
) -> tuple[dict[UUID, list[Allocation]], bool]:
    """Return the allocations of each order that can be served now, in their turn, and whether these are all."""
    look_at = LOOK_AT
    while True:
        demands = await store.candidates(unit, items, earmark_before, look_at)
        granted = await _allocate(unit, demands)
        if granted or len(demands) < look_at:
            return granted, len(demands) < look_at
        look_at *= 8  # earmarks keep stock from all of these: look at more orders


async def _allocate(unit: Unit, demands: Collection[Demand]) -> dict[UUID, list[Allocation]]:
    if not demands:
        return {}
    free = await store.free(unit, {want.item_id for demand in demands for want in demand.lines})
    return allocate(free, demands, await stocks.locations(unit)).granted
