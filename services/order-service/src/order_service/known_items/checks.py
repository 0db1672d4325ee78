"""Invariants of known items: each row equals the latest event of its item."""

import json
from collections.abc import AsyncIterator

from crossdock_chassis import AtRest, CheckAtRest
from crossdock_events.items import ItemEvent

ROWS = """
    SELECT item_id, status, sequence, unit_of_measure,
           (SELECT jsonb_agg(jsonb_build_object('unit', key, 'factor', value) ORDER BY key COLLATE "C")::text
            FROM jsonb_each(units)) AS units
    FROM known_items
"""


async def _not_the_items(at_rest: AtRest) -> AsyncIterator[str]:
    latest = {item: events[-1] for item, events in at_rest.log.events(ItemEvent).items()}
    expected = {
        item: (event.data["status"], event.sequence, event.data["unit_of_measure"], event.data.get("units"))
        for item, event in latest.items()
    }
    rows = await at_rest.sql.fetch(ROWS)
    known = {
        item: (status, sequence, base, units and json.loads(units)) for item, status, sequence, base, units in rows
    }
    for item in sorted((expected.keys() | known.keys()) - set(at_rest.stuck)):
        if known.get(item) != expected.get(item):
            yield f"{item}: known as {known.get(item)}, the topic has {expected.get(item)}"


NOT_THE_ITEMS = CheckAtRest(5, "other", "known items that differ from the items topic", _not_the_items)

CHECKS = (NOT_THE_ITEMS,)
