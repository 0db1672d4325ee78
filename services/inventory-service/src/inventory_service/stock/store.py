"""Read and write levels, their ledger and their heads, many items at a time.

Call `lock` first, then `read`. They are two statements, because a statement sees the snapshot from before it waited for
a lock.
"""

from collections.abc import Collection, Sequence
from typing import Final

from pydantic_core import from_json

from crossdock_chassis import Unit, wake
from inventory_service.stock.model import Movement, Stock

# Sorted, so that two batches cannot deadlock.
LOCK = "SELECT item_id, sequence FROM stock_heads WHERE item_id = ANY($1::text[]) ORDER BY item_id FOR UPDATE"

READ = "SELECT item_id, location_id, on_hand, reserved FROM levels WHERE item_id = ANY($1::text[])"

UNITS = "SELECT item_id, unit_of_measure, units::text AS units FROM items WHERE item_id = ANY($1::text[])"

LOCATIONS = "SELECT location_id FROM locations ORDER BY rank, location_id"

WRITE_LEVELS = """
    INSERT INTO levels (item_id, location_id, on_hand, reserved)
    SELECT item_id, location_id, 0, 0
    FROM unnest($1::text[], $2::text[]) AS new (item_id, location_id)
    ON CONFLICT DO NOTHING
"""

# `ANY` repeats the join condition, so that the plan uses the key even if it was made while the table was empty.
MOVE_LEVELS = """
    UPDATE levels SET on_hand = levels.on_hand + moved.on_hand, reserved = levels.reserved + moved.reserved
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS moved (item_id, location_id, on_hand, reserved)
    WHERE levels.item_id = moved.item_id AND levels.location_id = moved.location_id AND levels.item_id = ANY($1::text[])
"""

# Without this, an item that moves through many locations would have a level at each of them in its event for ever.
DELETE_EMPTY = """
    DELETE FROM levels USING unnest($1::text[], $2::text[]) AS emptied (item_id, location_id)
    WHERE levels.item_id = emptied.item_id AND levels.location_id = emptied.location_id AND levels.on_hand = 0
      AND levels.item_id = ANY($1::text[])
"""

LEDGER = (*Movement._fields, "at")

COUNT_HEADS = "UPDATE stock_heads SET sequence = sequence + 1 WHERE item_id = ANY($1::text[])"

RELEASE: Final = "release_queue"
"""Wakes the job that serves the queue."""

# No order can begin to wait for an item whose head this unit holds, so the search for waiting lines is no race.
QUEUE = """
    INSERT INTO release_queue (item_id, queued_at)
    SELECT raised.item_id, $2 FROM unnest($1::text[]) AS raised (item_id)
    WHERE EXISTS (SELECT FROM reservation_lines AS line WHERE line.item_id = raised.item_id AND line.waiting > 0)
"""


async def lock(unit: Unit, items: Collection[str]) -> dict[str, int]:
    """Lock the heads until the unit ends. Return the items that exist, each with the sequence of its last event."""
    rows = await unit.sql.fetch(LOCK, sorted(items))
    return {row["item_id"]: row["sequence"] for row in rows}


async def read(unit: Unit, sequences: dict[str, int]) -> Stock:
    """Return the stock of the heads that `lock` returned."""
    levels: dict[str, dict[str, list[int]]] = {item: {} for item in sequences}
    for item, location, on_hand, reserved in await unit.sql.fetch(READ, list(sequences)):
        levels[item][location] = [on_hand, reserved]
    return Stock(sequences, levels)


async def add(unit: Unit, stock: Stock, items: Collection[str]) -> None:
    """Lock more heads without a wait and add their stock. Raise a lock error if another unit has one of them."""
    if items:
        rows = await unit.sql.fetch(LOCK + " NOWAIT", sorted(items))
        more = await read(unit, {row["item_id"]: row["sequence"] for row in rows})
        stock.sequences.update(more.sequences)
        stock.levels.update(more.levels)


async def units(unit: Unit, items: Collection[str]) -> dict[str, tuple[str, dict[str, int]]]:
    """Return the base unit and the other units with their factors, by item."""
    rows = await unit.sql.fetch(UNITS, list(items))
    return {row["item_id"]: (row["unit_of_measure"], from_json(row["units"])) for row in rows}


async def locations(unit: Unit) -> list[str]:
    """Return all locations in sourcing order."""
    return [row["location_id"] for row in await unit.sql.fetch(LOCATIONS)]


async def write(unit: Unit, stock: Stock) -> None:
    """Write the movements and their levels. Publish one event per item, and queue items with more free stock."""
    if not stock.movements:
        return
    moved: dict[tuple[str, str], list[int]] = {}
    entering = False
    for movement in stock.movements:
        item, location, on_hand, reserved, *_ = movement
        total = moved.setdefault((item, location), [0, 0])
        total[0] += on_hand
        total[1] += reserved
        entering = entering or on_hand > 0
    changed = sorted(stock.changes)
    places = sorted(moved)
    if entering:  # only then can a level be new
        await unit.sql.execute(WRITE_LEVELS, [place[0] for place in places], [place[1] for place in places])
    await unit.sql.execute(
        MOVE_LEVELS,
        [place[0] for place in places],
        [place[1] for place in places],
        [moved[place][0] for place in places],
        [moved[place][1] for place in places],
    )
    if emptied := stock.emptied():
        await unit.sql.execute(DELETE_EMPTY, *(list(column) for column in zip(*emptied, strict=True)))
    # COPY, because rows that are only inserted cost a third less than through arrays
    await unit.sql.copy_records_to_table(
        "movements", columns=LEDGER, records=[(*movement, unit.now) for movement in stock.movements]
    )
    await unit.sql.execute(COUNT_HEADS, changed)
    publish_levels(unit, stock)
    if raised := stock.raised():
        await queue(unit, raised)


def publish_levels(unit: Unit, stock: Stock) -> None:
    """Publish one event for each item that changed."""
    for event, sequence, cause in stock.facts():
        unit.publish(event, sequence=sequence, cause=cause)


async def queue(unit: Unit, items: Sequence[str]) -> None:
    """Queue each of the items that an order waits for. The unit must hold the heads of all of them."""
    await insert_queued(unit, QUEUE, items)


async def insert_queued(unit: Unit, statement: str, items: Sequence[str]) -> None:
    """Insert rows into the release queue with this statement, and wake the job that serves it if there are any."""
    if await unit.sql.execute(statement, items, unit.now) != "INSERT 0 0":
        await wake(unit, RELEASE)
