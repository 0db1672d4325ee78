"""Invariants of items: each row equals the events of its item."""

import json
from collections.abc import AsyncIterator

from crossdock_chassis import AtRest, CheckAtRest
from crossdock_events.items import ItemEvent

ROWS = """
    SELECT item_id, status, sequence, unit_of_measure,
           (SELECT jsonb_agg(jsonb_build_object('unit', key, 'factor', value) ORDER BY key COLLATE "C")::text
            FROM jsonb_each(units)) AS units,
           category, registered_at, changed_at
    FROM items
"""


async def _not_the_item(at_rest: AtRest) -> AsyncIterator[str]:
    expected = {}
    for item, events in at_rest.log.events(ItemEvent).items():
        data, last = events[-1].data, events[-1]
        traits = data["status"], last.sequence, data["unit_of_measure"], data.get("units"), data.get("category")
        expected[item] = *traits, events[0].time, last.time
    items = {}
    async for item, status, sequence, base, units, category, *times in at_rest.sql.cursor(ROWS, prefetch=500):
        traits = status, sequence, base, units and json.loads(units), category
        items[item] = *traits, *(time.isoformat() for time in times)
    for item in sorted(items.keys() | expected.keys()):
        if items.get(item) != expected.get(item):
            yield f"{item}: {items.get(item)}, the topic has {expected.get(item)}"


NOT_THE_ITEM = CheckAtRest(5, "other", "items that differ from their events", _not_the_item)

CHECKS = (NOT_THE_ITEM,)
