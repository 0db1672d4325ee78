"""Forget runs that ended long ago. Their forecasts have a time of their own."""

from datetime import timedelta
from typing import Final

from crossdock_chassis import JobRun

KEPT: Final = timedelta(days=100)
CHUNK: Final = 20

OLD: Final = "SELECT id FROM runs WHERE ended_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"
FORGET: Final = (
    "DELETE FROM run_chunks WHERE run_id = ANY ($1::uuid[])",
    "DELETE FROM forecast_sums WHERE run_id = ANY ($1::uuid[])",
    "DELETE FROM coherent_means WHERE run_id = ANY ($1::uuid[])",
    "DELETE FROM run_failures WHERE run_id = ANY ($1::uuid[])",
    "DELETE FROM runs WHERE id = ANY ($1::uuid[])",
)


async def forget_runs(run: JobRun) -> dict[str, object]:
    forgotten = 0
    while True:
        async with run.unit() as unit:
            old = [row["id"] for row in await unit.sql.fetch(OLD, unit.now - KEPT, CHUNK)]
            for statement in FORGET if old else ():
                await unit.sql.execute(statement, old)
        forgotten += len(old)
        if len(old) < CHUNK:
            return {"forgotten": forgotten}
