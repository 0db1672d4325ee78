"""The projection of times without stock. What is asked for at such a time is less than what would be asked for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from crossdock_chassis import Unit, columns
from crossdock_events import Envelope
from crossdock_events.stock import StockLevelChanged

EVERYWHERE: Final = ""

STATES: Final = "SELECT item_id, location_id, out FROM stock_states WHERE item_id = ANY ($1::text[])"

KEEP: Final = """
    INSERT INTO stock_states (item_id, location_id, out)
    SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[]) AS new (item_id, location_id, out)
    ORDER BY item_id, location_id
    ON CONFLICT (item_id, location_id) DO UPDATE SET out = excluded.out
"""

END: Final = """
    UPDATE stock_outs AS old SET ended = new.at
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS new (item_id, location_id, at)
    WHERE old.item_id = new.item_id AND old.location_id = new.location_id AND old.ended IS NULL
"""

BEGIN: Final = """
    INSERT INTO stock_outs (item_id, location_id, began, ended)
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    ON CONFLICT (item_id, location_id, began) DO UPDATE SET ended = excluded.ended
"""


async def follow_stock(unit: Unit, batch: Sequence[Envelope[StockLevelChanged]]) -> None:
    """Keep when items ran out of free units and when they had some again, at each location and in all."""
    items = sorted({each.event.item_id for each in batch})
    before: dict[str, dict[str, bool]] = defaultdict(dict)
    for item, location, out in await unit.sql.fetch(STATES, items):
        before[item][location] = out
    states: list[tuple[str, str, bool]] = []
    ended: list[tuple[str, str, datetime]] = []
    begun: list[tuple[str, str, datetime, datetime | None]] = []
    for item in items:
        events = [(each.time, each.event) for each in batch if each.event.item_id == item]
        state = before[item]
        open_since: dict[str, datetime | None] = {location: None for location, out in state.items() if out}
        for at, event in events:
            for location, out in _states(event, state).items():
                if out and not state.get(location, False):
                    open_since[location] = at
                elif not out and location in open_since:
                    since = open_since.pop(location)
                    if since is None:
                        ended.append((item, location, at))
                    else:
                        begun.append((item, location, since, at))
                state[location] = out
        begun += [(item, location, since, None) for location, since in open_since.items() if since is not None]
        states += [(item, location, out) for location, out in state.items()]
    await unit.sql.execute(KEEP, *columns(states))
    if ended:
        await unit.sql.execute(END, *columns(ended))
    if begun:
        await unit.sql.execute(BEGIN, *columns(begun))


def _states(event: StockLevelChanged, known: Iterable[str]) -> Mapping[str, bool]:
    """Return whether the item has no free unit, everywhere and at each location that holds it or once did."""
    levels = {level.location_id: level.on_hand <= level.reserved for level in event.levels}
    gone = dict.fromkeys(known, True)
    return {**gone, **levels, EVERYWHERE: event.available == 0}
