"""Serve backorders from stock that became free, in units of their own. So receipts and cancels do not wait for this.

A sweep goes through the backorders of the queued items in their turn, a chunk per unit, so that each unit is short
however many orders wait. In a unit, the first plan is made without locks. Then the orders that it grants are locked
(reservations, then heads), up to the limit of one unit, and a second plan is made under the locks. So an outdated first
plan neither promises stock twice nor serves an order before its turn.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from crossdock_chassis import JobRun, Unit
from crossdock_events import Cause
from inventory_service.reservations import queue, store
from inventory_service.reservations.model import Allocation, Demand, Reservation, Turn, allocate
from inventory_service.reservations.reserve import take
from inventory_service.stock import store as stocks

LOOK_AT: Final = 2_000
"""The backorders of each item in the first chunk of a sweep, and in each chunk after one that was served."""
LOOK_AT_MOST: Final = 16_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """The entries of the queue that are being served, and how far.

    If an item of an order is queued again before the order is served, the sweep begins again: the new stock goes to
    earlier orders first.

    No order up to `after` can be served any more. Of these orders, `earmarking` set stock aside from later orders.
    """

    entries: list[int]
    items: list[str]
    look_at: int
    after: Turn | None = None
    earmarking: tuple[Demand, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """The allocations by order, in their turn. `ended` is true if no further backorder can be served."""

    granted: dict[UUID, list[Allocation]]
    earmarking: tuple[Demand, ...]
    last: Turn | None
    ended: bool


def serving(earmark_after: timedelta, max_orders: int) -> Callable[[JobRun], Awaitable[None]]:
    """Return the job that serves the queue, up to `max_orders` orders a unit.

    Whole orders older than `earmark_after` earmark.
    """

    async def serve_backorders(run: JobRun) -> None:
        if not await run.fetch(queue.ANY_QUEUED):
            return
        async with run.unit() as unit:
            sweep = await begin(unit)
        while sweep is not None:
            async with run.unit() as unit:
                sweep = await serve(unit, sweep, unit.now - earmark_after, max_orders)

    return serve_backorders


async def begin(unit: Unit) -> Sweep | None:
    entries, items = await queue.queued(unit)
    return Sweep(entries, items, LOOK_AT) if entries else None


async def serve(unit: Unit, sweep: Sweep, earmark_before: datetime, max_orders: int) -> Sweep | None:
    """Serve waiting orders. Return where to continue, or None if the entries can serve no further order."""
    plan = await _plan(unit, sweep, earmark_before)
    chosen = list(plan.granted)[:max_orders]
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
        if sweep.after is not None and await queue.queued_again(unit, sweep.entries, heads):
            return await begin(unit)
        plan = await _plan(unit, sweep, earmark_before)
        granted = {order_id: allocations for order_id, allocations in plan.granted.items() if order_id in locked}
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
            stocks.publish(unit, stock)
        if len(granted) < len(plan.granted):
            return replace(sweep, look_at=LOOK_AT)  # the rest of the chunk
    if plan.ended:
        await queue.dequeue(unit, sweep.entries)
        return None
    look_at = LOOK_AT if chosen else min(2 * sweep.look_at, LOOK_AT_MOST)
    return replace(sweep, look_at=look_at, after=plan.last, earmarking=plan.earmarking)


async def _plan(unit: Unit, sweep: Sweep, earmark_before: datetime) -> _Plan:
    demands, may_be_served, last = await queue.candidates(unit, sweep.items, earmark_before, sweep.look_at, sweep.after)
    known = {demand.order_id for demand in demands}
    demands += [demand for demand in sweep.earmarking if demand.order_id not in known]
    items = {want.item_id for demand in demands for want in demand.lines}.union(sweep.items)
    free = await queue.free(unit, items)
    outcome = allocate(free, demands, await stocks.locations(unit))
    granted = {order_id: outcome.granted[order_id] for order_id in outcome.granted if order_id in may_be_served}
    usable = any(outcome.left.get(item, 0) > 0 for item in sweep.items)
    return _Plan(granted, tuple(outcome.earmarking), last, ended=last is None or not usable)
