"""Find the receipt that releases most orders. Pure: computed from the open backorders and the available stock."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backorder:
    """An order that waits, and the units it still needs by item, also of items in stock."""

    order_id: str
    needs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Scarce:
    """Receiving `quantity` of `item_id` releases at least `released` of the `waiting` orders which are short of it."""

    item_id: str
    waiting: int
    released: int
    quantity: int


def scarcest(backorders: Sequence[Backorder], available: Mapping[str, int]) -> Scarce | None:
    """Return the item whose receipt releases most orders, or None if no item is short.

    Among equals, choose the item that more orders wait for, then the smaller id. An item is short if the waiting orders
    need more than is available. The quantity closes that gap: after the receipt, no order waits for this item, in
    whatever order the queue is served. An order counts as released only if it lacks no other item. The count is
    therefore never too high.
    """
    needed: Counter[str] = Counter()
    for backorder in backorders:
        needed.update(backorder.needs)
    gap = {item: needed[item] - available.get(item, 0) for item in needed if needed[item] > available.get(item, 0)}
    waiting: Counter[str] = Counter()
    released: defaultdict[str, int] = defaultdict(int)
    for backorder in backorders:
        short = [item for item in backorder.needs if item in gap]
        waiting.update(short)
        if len(short) == 1:
            released[short[0]] += 1
    if not gap:
        return None
    item = min(gap, key=lambda each: (-released[each], -waiting[each], each))
    return Scarce(item, waiting[item], released[item], gap[item])
