"""Adjust the recorded stock if more or less is there. Withdraw reserved stock that is gone from its orders."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from crossdock_chassis import Unit
from inventory_service.reservations import store
from inventory_service.reservations.model import Allocation, Reservation, withdraw
from inventory_service.stock import documents
from inventory_service.stock import store as stocks
from inventory_service.stock.adjust import AdjustStock
from inventory_service.stock.model import MAX_WITHDRAWN, Head, Movement, Place, Stock, TooManyWithdrawn
from inventory_service.stock.views import Recorded


async def adjust_stock(unit: Unit, command: AdjustStock) -> Recorded:
    """Record an adjustment, and return orders to the backorders if it takes their stock.

    Raise the errors of `documents.record`, but not NotEnoughFree. Raise NotOnHand if more is gone than was there.
    """
    document = command.document
    recorded = await documents.claim(unit, document)
    if not recorded.created:
        return recorded
    orders = await _lock(unit, replace(command, document=await documents.in_base_units(unit, document)))
    items = {item_id for order in orders.values() for _, item_id, _ in order.lines}
    stock = await documents.lock(unit, document.lines, {"location_id": command.location_id}, items)
    _move(stock, replace(command, document=await documents.measure(unit, recorded, document)))
    stock.check_on_hand()
    waiting_for: set[str] = set()
    if missing := stock.missing():
        waiting_for = await _withdraw(unit, stock, missing, orders, command)
    stock.check()
    await stocks.write(unit, stock)
    if waiting_for:  # free stock at another location may serve these orders
        await stocks.queue(unit, sorted(waiting_for))
    return recorded


def _move(stock: Stock, command: AdjustStock) -> None:
    documents.move(stock, command.document, [(+1, command.location_id)], command.reason)


async def _lock(unit: Unit, command: AdjustStock) -> dict[UUID, Reservation]:
    """Lock the orders that will probably lose stock. They are locked before any head, in the order of all locks."""
    lines = command.document.lines
    if all(line.quantity > 0 for line in lines):
        return {}
    stock = await stocks.read(unit, {line.item_id: Head(0, 0) for line in lines})
    _move(stock, command)
    missing = stock.missing()
    return await store.lock_holding(unit, await _plan(unit, missing)) if missing else {}


async def _plan(unit: Unit, missing: Mapping[Place, int]) -> dict[UUID, list[Allocation]]:
    holders = await store.holders(unit, missing, MAX_WITHDRAWN + 1)
    if len(holders) > MAX_WITHDRAWN:
        raise TooManyWithdrawn(f"More than {MAX_WITHDRAWN} orders hold the stock that is gone")
    return withdraw(missing, holders)


async def _withdraw(
    unit: Unit, stock: Stock, missing: Mapping[Place, int], orders: dict[UUID, Reservation], command: AdjustStock
) -> set[str]:
    """Withdraw the missing units and return the items that the orders now wait for.

    Orders that were reserved after `_lock` are locked here without a wait. The heads of the missing items are held, so
    waiting could deadlock. If such a lock is taken, the error makes the command run again.
    """
    withdrawn = await _plan(unit, missing)
    if late := withdrawn.keys() - orders.keys():
        orders |= await store.lock_holding(unit, late, wait=False)
        items = {item_id for order in late for _, item_id, _ in orders[order].lines}
        await stocks.add(unit, stock, items - stock.heads.keys())
    cause = command.document.cause
    for order_id, allocations in withdrawn.items():
        order = orders[order_id]
        order.withdraw(allocations)
        order.sequence += 1
        for line_id, item_id, location_id, quantity in allocations:
            movement = Movement(
                item_id,
                location_id,
                0,
                -quantity,
                "withdrawal",
                str(order_id),
                line_id,
                command.reason,
                cause.correlation_id,
            )
            stock.move(movement, cause)
        unit.publish(order.to_event(), sequence=order.sequence, cause=cause)
    changed = [orders[order_id] for order_id in withdrawn]
    await store.withdraw(unit, withdrawn)
    await store.update_lines(unit, changed)
    await store.decide(unit, changed)
    return {item_id for allocations in withdrawn.values() for _, item_id, _, _ in allocations}
