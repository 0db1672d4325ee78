"""The invariants of items and levels: they are those of the last events of each item."""

from collections.abc import AsyncIterator
from itertools import islice
from typing import Any, Final

from crossdock_chassis import AtRest, CheckAtRest, LogEvent
from crossdock_events.items import ItemEvent
from crossdock_events.stock import StockEvent

CHUNK: Final = 1_000

ROWS: Final = """
    SELECT item_id, location_id, on_hand, reserved, sequence, changed_at FROM levels_now
    WHERE item_id = ANY ($1::text[])
"""
OTHERS: Final = "SELECT item_id, location_id FROM levels_now"


async def _not_the_levels(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.whole.events(StockEvent).items())
    seen: set[str] = set()
    while part := dict(islice(events, CHUNK)):
        seen |= part.keys()
        stored: dict[str, set[tuple[object, ...]]] = {}
        for item, *row in await at_rest.sql.fetch(ROWS, list(part)):
            stored.setdefault(item, set()).add((*row[:-1], row[-1].isoformat()))
        for item, all_events in part.items():
            last = max(all_events, key=lambda event: event.sequence)
            expected = {
                (each["location_id"], each["on_hand"], each["reserved"], last.sequence, last.time)
                for each in last.data["levels"]
            }
            if item not in at_rest.stuck and stored.get(item, set()) != expected:
                yield f"{item}: shown are {sorted(stored.get(item, set()))}, the topic has {sorted(expected)}"
    async for item, location in at_rest.sql.cursor(OTHERS, prefetch=CHUNK):
        if item not in seen:
            yield f"{item} at {location} is shown, and has no event"


NOT_THE_LEVELS: Final = CheckAtRest(5, "other", "shown levels that differ from the stock topic", _not_the_levels)

ITEMS: Final = """
    SELECT item_id, status, category, unit_of_measure, item_sequence, on_hand, reserved, empty, sequence, changed_at
    FROM stock_items ORDER BY item_id
"""


def fold(item: LogEvent | None, stock: LogEvent | None) -> tuple[object, ...]:
    """Return the row that an item must have after its last events."""
    data: dict[str, Any] = {} if item is None else dict(item.data)
    levels = () if stock is None else stock.data["levels"]
    on_hand, reserved = (sum(each[name] for each in levels) for name in ("on_hand", "reserved"))
    return (
        *(data.get(name) for name in ("status", "category", "unit_of_measure")),
        0 if item is None else item.sequence,
        on_hand,
        reserved,
        on_hand <= reserved,
        0 if stock is None else stock.sequence,
        None if stock is None else stock.time,
    )


async def _not_the_items(at_rest: AtRest) -> AsyncIterator[str]:
    items, stock = (_last(at_rest, kind) for kind in (ItemEvent, StockEvent))
    expected = {item: fold(items.get(item), stock.get(item)) for item in items.keys() | stock.keys()}
    async for item, *values, changed_at in at_rest.sql.cursor(ITEMS, prefetch=CHUNK):
        shown = (*values, changed_at and changed_at.isoformat())
        if (wanted := expected.pop(item, None)) != shown and item not in at_rest.stuck:
            yield f"{item}: shown is {shown}, its events have {wanted}"
    for item in expected.keys() - at_rest.stuck:
        yield f"{item} has events, and is not shown"


def _last(at_rest: AtRest, kind: type[ItemEvent | StockEvent]) -> dict[str, LogEvent]:
    found = at_rest.whole.events(kind)
    return {item: max(events, key=lambda event: event.sequence) for item, events in found.items()}


NOT_THE_ITEMS: Final = CheckAtRest(5, "other", "shown items that differ from their events", _not_the_items)

CHECKS: Final = (NOT_THE_LEVELS, NOT_THE_ITEMS)
