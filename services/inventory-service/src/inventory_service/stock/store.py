"""Read and write levels, their ledger and their heads, many items at a time.

Call `lock` first, then `read`. They are two statements, because a statement sees the snapshot from before it waited for
a lock.
"""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from crossdock_chassis import Unit, wake
from crossdock_events import Cause
from inventory_service.stock.model import Head, Movement, Stock

# Sorted, so that two batches cannot deadlock.
LOCK = """
    SELECT item_id, version, sequence, causes FROM stock_heads
    WHERE item_id = ANY($1::text[]) ORDER BY item_id FOR UPDATE
"""

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

LEVELS: Final = "levels"
"""Wakes the job that publishes the set of changed items."""

CHANGED = "SELECT id, item_ids FROM changed_items ORDER BY id LIMIT $1"

LOCK_CHANGED = """
    SELECT item_id, version, sequence, causes, cause FROM stock_heads
    WHERE item_id = ANY($1::text[]) AND causes IS NOT NULL ORDER BY item_id FOR UPDATE
"""

SETTLE = """
    UPDATE stock_heads SET sequence = sequence + 1, causes = NULL, cause = NULL
    WHERE item_id = ANY($1::text[])
"""

FORGET = "DELETE FROM changed_items WHERE id = ANY($1::bigint[])"

RELEASE: Final = "release_queue"
"""Wakes the job that serves the queue."""

# No order can begin to wait for an item whose head this unit holds, so the search for waiting lines is no race.
QUEUE = """
    INSERT INTO release_queue (item_id, queued_at)
    SELECT raised.item_id, $2 FROM unnest($1::text[]) AS raised (item_id)
    WHERE EXISTS (SELECT FROM reservation_lines AS line WHERE line.item_id = raised.item_id AND line.waiting > 0)
"""


async def lock(unit: Unit, items: Collection[str], *, wait: bool = True) -> dict[str, Head]:
    """Lock and return the heads of the items that exist, until the unit ends.

    Without `wait`, raise a lock error if another unit has one.
    """
    rows = await unit.sql.fetch(LOCK + ("" if wait else " NOWAIT"), sorted(items))
    return {item: Head(version, sequence, causes or ()) for item, version, sequence, causes in rows}


async def read(unit: Unit, heads: dict[str, Head]) -> Stock:
    """Return the stock of the heads that `lock` returned."""
    levels: dict[str, dict[str, list[int]]] = {item: {} for item in heads}
    for item, location, on_hand, reserved in await unit.sql.fetch(READ, list(heads)):
        levels[item][location] = [on_hand, reserved]
    return Stock(heads, levels)


async def add(unit: Unit, stock: Stock, items: Collection[str]) -> None:
    """Lock more heads without a wait and add their stock. Raise a lock error if another unit has one of them."""
    if items:
        more = await read(unit, await lock(unit, items, wait=False))
        stock.heads.update(more.heads)
        stock.levels.update(more.levels)


async def units(unit: Unit, items: Collection[str]) -> dict[str, tuple[str, dict[str, int]]]:
    """Return the base unit and the other units with their factors, by item."""
    rows = await unit.sql.fetch(UNITS, list(items))
    return {row["item_id"]: (row["unit_of_measure"], from_json(row["units"])) for row in rows}


async def locations(unit: Unit) -> list[str]:
    """Return all locations in sourcing order."""
    return [row["location_id"] for row in await unit.sql.fetch(LOCATIONS)]


async def write(unit: Unit, stock: Stock) -> None:
    """Write the movements, their levels and the heads. Publish at once, and queue items with more free stock."""
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
    await unit.run("stock_mark", *marks(stock))
    publish(unit, stock)
    if raised := stock.raised():
        await queue(unit, raised)


def marks(stock: Stock) -> tuple[Sequence[object], ...]:
    """Return the parameters of `stock_mark`: the items and their changes."""
    changed = stock.changed()
    return (
        [each.item_id for each in changed],
        [each.at_once for each in changed],
        [",".join(each.kinds) for each in changed],
        [_text(each.cause) for each in changed],
    )


def publish(unit: Unit, stock: Stock) -> None:
    """Publish each stock-out and recovery now. `stock_mark` wakes the job that publishes other changes."""
    for event, sequence, cause in stock.facts():
        unit.publish(event, sequence=sequence, cause=cause)
    unit.notifies |= bool(stock.changes)


def changed(rows: Sequence[asyncpg.Record]) -> tuple[list[int], list[str]]:
    """Return the ids of rows of the set of changed items, and their items in order."""
    return [row["id"] for row in rows], sorted({item for row in rows for item in row["item_ids"]})


async def settle(unit: Unit, items: Sequence[str]) -> None:
    """Publish the levels of items. Leave out an item of which another unit has published them meanwhile."""
    rows = await unit.sql.fetch(LOCK_CHANGED, items)
    stock = await read(unit, {item: Head(version, sequence, causes) for item, version, sequence, causes, _ in rows})
    for event, sequence, cause in stock.settled({row["item_id"]: _cause(row["cause"]) for row in rows}):
        unit.publish(event, sequence=sequence, cause=cause)
    await unit.sql.execute(SETTLE, list(stock.heads))


async def forget(unit: Unit, rows: Sequence[int]) -> None:
    """Delete rows of the set whose items are published."""
    await unit.sql.execute(FORGET, rows)


def _text(cause: Cause) -> str:
    """Return the cause as text, because JSON takes ten times as long."""
    return f"{cause.correlation_id} {cause.causation_id or ''} {cause.traceparent or ''}"


def _cause(text: str) -> Cause:
    correlation_id, causation_id, traceparent = text.split(" ", 2)
    return Cause(UUID(correlation_id), UUID(causation_id) if causation_id else None, traceparent or None)


async def queue(unit: Unit, items: Sequence[str]) -> None:
    """Queue each of the items that an order waits for. The unit must hold the heads of all of them."""
    await insert_queued(unit, QUEUE, items)


async def insert_queued(unit: Unit, statement: str, items: Sequence[str]) -> None:
    """Insert rows into the release queue with this statement, and wake the job that serves it if there are any."""
    if await unit.sql.execute(statement, items, unit.now) != "INSERT 0 0":
        await wake(unit, RELEASE)
