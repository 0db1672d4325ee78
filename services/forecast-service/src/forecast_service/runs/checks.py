"""Invariants of runs: what is finished is counted once, and each finished series has a forecast."""

from typing import Final

from crossdock_chassis import Check

COUNTED: Final = Check(
    5,
    "other",
    "runs whose unfinished chunks are counted wrongly",
    """
    SELECT format('run %s is %s and counts %s open chunks of %s', id, state, open, count)
    FROM runs JOIN LATERAL (
        SELECT count(*) AS count FROM run_chunks WHERE run_id = id AND run_chunks.state = 'open'
    ) AS chunks ON true
    WHERE open <> count OR (state = 'done') <> (open = 0)
    """,
)

FORECAST: Final = Check(
    5,
    "lost",
    "series of finished chunks without a forecast of their run",
    """
    SELECT format('run %s has no forecast of series %s', run_id, each)
    FROM run_chunks CROSS JOIN unnest(series) AS each
    WHERE state = 'done' AND ended_at > now() - interval '30 days'
          AND NOT EXISTS (SELECT FROM forecasts WHERE series_id = each AND forecasts.run_id = run_chunks.run_id)
    """,
)

CHECKS: Final = (COUNTED, FORECAST)
