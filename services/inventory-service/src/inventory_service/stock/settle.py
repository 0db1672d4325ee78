"""Publish changed levels, one event per item, a chunk of the items per unit.

A unit that changes levels publishes only stock-outs and recoveries itself. It adds the other items to the set of
changed items.
"""

from typing import Final

from crossdock_chassis import JobRun
from inventory_service.stock import store

ROUND: Final = 1_000
"""The most rows of the set in a round: the changes of as many units."""
CHUNK: Final = 200
"""The most items in a unit. No other unit can change their levels meanwhile."""


async def settle_levels(run: JobRun) -> None:
    """Publish the levels of the changed items. An item that changes again meanwhile waits for the next run."""
    rows, items = store.changed(await run.fetch(store.CHANGED, ROUND))
    for start in range(0, len(items), CHUNK):
        async with run.unit() as unit:
            await store.settle(unit, items[start : start + CHUNK])
    if rows:
        async with run.unit() as unit:
            await store.forget(unit, rows)
