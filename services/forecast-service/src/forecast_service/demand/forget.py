"""Forget the facts of orders that can no longer change what was counted for them. The days stay."""

from datetime import timedelta
from typing import Final

from crossdock_chassis import JobRun
from forecast_service.demand.model import MEMORY

SPARE: Final = timedelta(days=7)
"""Events may be late, so facts are kept for longer than they count."""
CHUNK: Final = 2_000

# The index on `placed_at` finds the few that are old.
OLD: Final = """
    SELECT order_id FROM demand_orders
    WHERE placed_at < $1 OR placed_at IS NULL AND coalesce(ended_at, reserved_at) < $1
    ORDER BY order_id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
FORGET: Final = "DELETE FROM demand_orders WHERE order_id = ANY ($1::uuid[])"


async def forget_orders(run: JobRun) -> dict[str, object]:
    forgotten = 0
    while True:
        async with run.unit() as unit:
            old = [row["order_id"] for row in await unit.sql.fetch(OLD, unit.now - MEMORY - SPARE, CHUNK)]
            if old:
                await unit.sql.execute(FORGET, old)
        forgotten += len(old)
        if len(old) < CHUNK:
            return {"forgotten": forgotten}
