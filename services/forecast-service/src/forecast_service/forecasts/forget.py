"""Forget old forecasts, so that the table levels off."""

from datetime import timedelta
from typing import Final

from crossdock_chassis import JobRun

KEPT: Final = timedelta(days=400)
UNPUBLISHED_KEPT: Final = timedelta(days=35)
"""A forecast that was not published serves only to compare runs."""
CHUNK: Final = 1_000

# The last published forecast of a series is compared with the next one, however old it is.
FORGET: Final = """
    WITH old AS (
        SELECT series_id, origin, run_id FROM forecasts
        WHERE made_at < $1 AND (version IS NULL OR made_at < $2) AND NOT EXISTS (
            SELECT FROM series WHERE series.id = forecasts.series_id
            AND series.published_origin = forecasts.origin AND series.published_run = forecasts.run_id
        )
        LIMIT $3
    )
    , adjusted AS (
        DELETE FROM adjusted_forecasts AS adjusted USING old
        WHERE adjusted.series_id = old.series_id AND adjusted.origin = old.origin AND adjusted.run_id = old.run_id
    )
    DELETE FROM forecasts USING old
    WHERE forecasts.series_id = old.series_id AND forecasts.origin = old.origin AND forecasts.run_id = old.run_id
    RETURNING 1
"""


async def forget_forecasts(run: JobRun) -> dict[str, object]:
    forgotten = 0
    while True:
        async with run.unit() as unit:
            gone = len(await unit.sql.fetch(FORGET, unit.now - UNPUBLISHED_KEPT, unit.now - KEPT, CHUNK))
        forgotten += gone
        if gone < CHUNK:
            return {"forgotten": forgotten}
