"""Forget old overrides, and what series got of them."""

from datetime import timedelta
from typing import Final

from crossdock_chassis import JobRun

KEPT: Final = timedelta(days=400)
"""As long as the forecasts that they changed."""
CHUNK: Final = 5_000

PARTS: Final = """
    WITH old AS (
        SELECT override_id, series_id FROM override_parts JOIN overrides ON overrides.id = override_id
        WHERE published AND greatest(last_day, ended_at::date) < $1::date LIMIT $2
    )
    DELETE FROM override_parts AS part USING old
    WHERE part.override_id = old.override_id AND part.series_id = old.series_id RETURNING 1
"""

OLD: Final = """
    DELETE FROM overrides WHERE greatest(last_day, ended_at::date) < $1::date
    AND NOT EXISTS (SELECT FROM override_parts WHERE override_id = overrides.id)
"""


async def forget_overrides(run: JobRun) -> dict[str, object]:
    forgotten = 0
    while True:
        async with run.unit() as unit:
            gone = len(await unit.sql.fetch(PARTS, (unit.now - KEPT).date(), CHUNK))
            if gone < CHUNK:
                await unit.sql.execute(OLD, (unit.now - KEPT).date())
        forgotten += gone
        if gone < CHUNK:
            return {"forgotten": forgotten}
