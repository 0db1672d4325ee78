"""Which receipt helps most: pure, from the open backorders and what is available."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backorder:
    """An order that waits and what it still needs: units by item, also of items that are there."""

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
    """The item whose receipt releases most orders; among equals the one that more wait for, then the smaller id.

    An item is short when all that wait for it need more than there is. The quantity closes that gap, so after the
    receipt nobody waits for this item, whatever the order in which the queue is served. An order is counted as released
    only when nothing else it needs is short, so the count cannot turn out too high. None when nothing is short.
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
