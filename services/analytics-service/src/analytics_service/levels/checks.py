"""The invariant of the levels: they are those of the last event of each item."""

from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

from crossdock_chassis import AtRest, CheckAtRest
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

CHECKS: Final = (NOT_THE_LEVELS,)
